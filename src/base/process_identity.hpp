// Which process this is: what fork() copies belongs to the process that made it, and its copy in the child must do
// nothing to it.
#pragma once

#include <cstdint>

namespace leasepool::detail {

// Differs between a process and each that it forks, however far down; cheaper than getpid(). Any thread.
[[nodiscard]] std::uint64_t process_generation() noexcept;

}  // namespace leasepool::detail
