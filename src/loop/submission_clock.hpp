// SubmissionClock: when calls are submitted, with one reading for some that follow each other quickly. Each reading
// costs as much as a sixth of a call to a thread.
#pragma once

#include <chrono>
#include <concepts>

#include "leasepool/duration.hpp"

namespace leasepool::detail {

// One thread. What it says is early by what the callbacks between two readings take: of those before, that is known to
// have been little; and there are few.
class SubmissionClock {
 public:
  // Outcomes are delivered from now on, each of whose callbacks may submit calls.
  void begin() noexcept { shares_ = 0; }

  // With `more`, others are delivered behind the one whose callback asks.
  template <std::invocable Clock>
  [[nodiscard]] TimePoint read(bool more, const Clock& clock) noexcept {
    if (more && shares_ > 0) {
      --shares_;
      return last_;
    }
    const TimePoint now = clock();
    shares_ = more && now - last_ < kQuick ? kShares : 0;
    last_ = now;
    return now;
  }

 private:
  static constexpr int kShares = 3;
  static constexpr Duration kQuick = std::chrono::microseconds(8);  // from one reading to the next

  TimePoint last_{};
  int shares_ = 0;  // calls that may still have the last reading
};

}  // namespace leasepool::detail
