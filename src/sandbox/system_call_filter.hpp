// The sandbox's filter of system calls: an allow-list, by seccomp. This build has it where libseccomp was found.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "leasepool/sandbox.hpp"

namespace leasepool::detail {

struct FilterOptions {
  Sandbox::Profile profile = Sandbox::Profile::compute;
  bool renews_cpu_limit = false;         // the worker sets RLIMIT_CPU before each call
  bool landlock_guards_truncate = true;  // from its version 3 on
};

// What is missing for a filter, in words for an error; nothing where there can be one.
std::optional<std::string> missing_for_filter();

// Puts the filter into force for all threads of the process. Returns what failed and why.
std::optional<std::string> enter_filter(const FilterOptions& options);

// "openat()"; of a number that has no name here: "system call 999".
std::string system_call_name(std::uint32_t architecture, std::uint32_t number);

}  // namespace leasepool::detail
