// What the fork server's process runs.
#pragma once

#include "base/unique_fd.hpp"

namespace leasepool::detail {

// Says whether it could start, on the program's control socket, and serves until nobody holds the other end of that and
// of its connections; then it kills what is left and exits. Single-threaded.
[[noreturn]] void fork_server_main(UniqueFd control) noexcept;

}  // namespace leasepool::detail
