// What a loop runs on.
#pragma once

namespace leasepool {

enum class LoopEngine {
  automatic,  ///< io_uring, or epoll where the system refuses that
  io_uring,
  epoll,
};

}  // namespace leasepool
