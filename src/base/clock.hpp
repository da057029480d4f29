// Deadlines on the monotonic clock that cannot overflow: Duration::max() from any time is never.
#pragma once

#include <string>

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

[[nodiscard]] inline std::string in_milliseconds(Duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()) + " ms";
}

}  // namespace leasepool::detail
