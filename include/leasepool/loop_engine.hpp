// What a loop runs on.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

namespace leasepool {

enum class LoopEngine {
  automatic,  ///< io_uring, or epoll where the system refuses that
  io_uring,
  epoll,
};

}  // namespace leasepool

#endif
