// Deadlines on the monotonic clock that cannot overflow: Duration::max() from any time is never.
#pragma once

#include "leasepool/duration.hpp"

namespace leasepool::detail {

inline constexpr TimePoint kNever = TimePoint::max();

[[nodiscard]] inline TimePoint monotonic_now() noexcept { return std::chrono::steady_clock::now(); }

[[nodiscard]] constexpr TimePoint deadline_after(TimePoint from, Duration delay) noexcept {
  if (from == kNever || delay >= kNever - from) return kNever;
  return delay <= Duration::zero() ? from : from + delay;
}

[[nodiscard]] constexpr Duration until(TimePoint deadline, TimePoint now) noexcept {
  return deadline == kNever ? Duration::max() : deadline - now;
}

}  // namespace leasepool::detail
