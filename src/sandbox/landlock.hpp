// Landlock: the kernel's list of files that a process may touch, set by the process on itself.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace leasepool::detail {

// The version of Landlock that the kernel has; 0, and then `errno` says why, where it has none.
int landlock_abi() noexcept;

// Lets the calling thread, and those that it starts, touch what is below these paths and no other file; neither connect
// nor bind, and signal nobody, where the kernel's version goes that far. Needs no_new_privs. Returns what failed and
// why.
std::optional<std::string> enter_landlock(int abi, const std::vector<std::string>& readable,
                                          const std::vector<std::string>& writable);

}  // namespace leasepool::detail
