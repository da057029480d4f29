// The unit of every time span in the public interface.
#pragma once

#include <chrono>

namespace leasepool {

/// Every duration of the library, in nanoseconds. Duration::max() means never.
using Duration = std::chrono::nanoseconds;

/// The clock of every deadline: CLOCK_MONOTONIC.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

}  // namespace leasepool
