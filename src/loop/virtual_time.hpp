// VirtualTime: the clock of a loop in a test. It stands still until the test moves it, or the loop has nothing else to
// do.
#pragma once

#include "base/clock.hpp"

namespace leasepool::detail {

class VirtualTime {
 public:
  VirtualTime() = default;
  VirtualTime(const VirtualTime&) = delete;
  VirtualTime& operator=(const VirtualTime&) = delete;
  virtual ~VirtualTime() = default;

  // Begins with the real time, so that a deadline for the kernel is none that has passed.
  TimePoint now = monotonic_now();
};

}  // namespace leasepool::detail
