// BusyPoll: whether a loop looks for completions before it goes to sleep, and for how long.
#pragma once

#include <concepts>
#include <cstddef>

#include "base/adaptive_spin.hpp"
#include "base/check.hpp"
#include "base/clock.hpp"

namespace leasepool::detail {

// One thread.
class BusyPoll {
 public:
  // A completion is on its way that is worth looking for, for at most so long; and it came, or will not. Nothing where
  // that is no time.
  void begin(Duration spin) noexcept {
    if (spin <= Duration::zero()) return;
    spin_.allow(spin);
    ++expected_;
  }
  void end(Duration spin) noexcept {
    if (spin <= Duration::zero()) return;
    check(expected_ > 0, "what is looked for comes once");
    --expected_;
  }
  // Who is to bring it slept, and takes a while to get up.
  void note_slow_wake() noexcept { slow_wake_ = true; }

  // Whether it is worth looking now.
  [[nodiscard]] bool wanted() const noexcept {
    return expected_ != 0 && (!slow_wake_ || monotonic_now() >= may_await_slow_wake_);
  }
  // Looks until `came()` says so, and at most until the deadline; returns whether it did.
  template <std::predicate Came>
  bool run(const Came& came, TimePoint deadline) noexcept {
    if (!slow_wake_) return spin_.spin(came, deadline);
    const TimePoint begin = monotonic_now();
    const bool has_come = spin_.spin(came, deadline);
    const TimePoint end = monotonic_now();
    may_await_slow_wake_ = end + kPartOfTime * (end - begin);
    return has_come;
  }

  void slept(Duration how_long) noexcept {
    if (expected_ != 0 && !slow_wake_) spin_.slept(how_long);
    slow_wake_ = false;
  }

 private:
  // Waiting awake for a thread or process that gets up costs more than it spares: a few microseconds of who waits, for
  // some tens of the processor. Now and then that is nothing, so it may take one part in so many of the time.
  static constexpr int kPartOfTime = 400;

  std::size_t expected_ = 0;
  AdaptiveSpin spin_{Duration::zero()};
  bool slow_wake_ = false;           // since the last sleep
  TimePoint may_await_slow_wake_{};  // from then on again
};

}  // namespace leasepool::detail
