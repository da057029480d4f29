// What the fork server's process runs.
#pragma once

#include <sys/types.h>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

// Serves until `parent` is dead or the control socket closes; then kills every worker and exits. Single-threaded.
[[noreturn]] void fork_server_main(UniqueFd control, pid_t parent) noexcept;

}  // namespace leasepool::detail
