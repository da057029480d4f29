// make_engine(): which engine a loop runs on.
#pragma once

#include <memory>

#include "leasepool/loop_engine.hpp"
#include "loop/engine.hpp"

namespace leasepool::detail {

// For `automatic` what the environment's LEASEPOOL_ENGINE says, if it says something; else io_uring, or, where the
// system refuses that, epoll, of which the log has one line in a process. Throws std::invalid_argument for a value that
// the variable cannot have, LeasePoolError (unsupported), std::system_error and std::bad_alloc.
[[nodiscard]] std::unique_ptr<Engine> make_engine(LoopEngine wanted);

}  // namespace leasepool::detail
