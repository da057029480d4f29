// RateLimit: how often something is done for others, so that a flood of requests costs little. Pure.
#pragma once

#include <algorithm>

#include "leasepool/duration.hpp"

namespace leasepool::detail::remote {

// As a bucket with room for `burst` that one is added to after each pause.
class RateLimit {
 public:
  RateLimit(int burst, Duration pause) noexcept : burst_(burst), pause_(pause) {}

  // Whether to do it now; it then counts.
  [[nodiscard]] bool allows(TimePoint now) noexcept {
    const TimePoint earliest = now - (burst_ - 1) * pause_;
    if (full_at_ > now) return false;
    full_at_ = std::max(full_at_, earliest) + pause_;
    return true;
  }

 private:
  int burst_;
  Duration pause_;
  TimePoint full_at_ = TimePoint::min();  // when as many were done as may be, at this pace
};

}  // namespace leasepool::detail::remote
