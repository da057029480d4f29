// The limits of a worker process, set and watched from inside it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/unique_fd.hpp"
#include "shared/worker_settings.hpp"

namespace leasepool::detail {

// Sets all limits; that of CPU time is to be renewed for each call. Returns what could not be set and why.
std::optional<std::string> set_limits(const WorkerSettings& settings);

// Lets the process use so many more seconds of CPU time, from now on. SIGXCPU then ends it. 0 or an errno.
int limit_cpu_time(std::uint64_t seconds) noexcept;

// The file that tells how much memory this process uses. Opened once, because a sandbox lets nothing be opened later.
UniqueFd open_memory_use() noexcept;

// Bytes of this process that are in memory; 0 when that cannot be told.
std::uint64_t resident_memory(const UniqueFd& memory_use_file) noexcept;

}  // namespace leasepool::detail
