// KeptTimer: a timer that keeps its place in the queue, so that setting it takes no memory.
#pragma once

#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "loop/scheduler.hpp"

namespace leasepool::detail {

// The deadline of a timer that only keeps a place: some 292 years.
inline constexpr TimePoint kPlaceKept = kNever - Duration(1);

// A timer that never comes; set_kept_timer() needs no memory then. Throws std::bad_alloc.
[[nodiscard]] inline TimerId keep_timer(Scheduler& scheduler) {
  return scheduler.call_at(kPlaceKept, [] {});
}

// Gives a timer that has not come another deadline and handler, which holds 24 bytes at most; or, where nothing else
// was set since, one whose handler runs.
inline void set_kept_timer(Scheduler& scheduler, TimerId& timer, TimePoint deadline,
                           Scheduler::Handler handler) noexcept {
  scheduler.cancel_timer(timer);
  timer = scheduler.call_at(std::min(deadline, kPlaceKept), std::move(handler));
}

// One thread. The scheduler outlives its use; a handler may reach who has the timer, so it is disarmed before that
// goes.
class KeptTimer {
 public:
  explicit KeptTimer(Scheduler& scheduler) noexcept : scheduler_(scheduler) {}
  KeptTimer(const KeptTimer&) = delete;
  KeptTimer& operator=(const KeptTimer&) = delete;
  ~KeptTimer() { check(timer_ == 0, "a timer is disarmed before it is destroyed"); }

  // Takes the place, if it has none. Throws std::bad_alloc.
  void keep() {
    if (timer_ == 0) timer_ = keep_timer(scheduler_);
  }
  void disarm() noexcept {
    scheduler_.cancel_timer(std::exchange(timer_, 0));
    set_ = false;
  }

  // While it keeps a place. The handler holds 24 bytes at most, and begins with came().
  void set(TimePoint deadline, Scheduler::Handler handler) noexcept {
    check_keeps_place();
    set_kept_timer(scheduler_, timer_, deadline, std::move(handler));
    set_ = true;
  }
  void unset() noexcept {
    if (set_) came();
  }
  void came() noexcept {
    check(set_, "a timer comes once for each time that it is set");
    check_keeps_place();
    set_kept_timer(scheduler_, timer_, kPlaceKept, [] {});
    set_ = false;
  }
  [[nodiscard]] bool is_set() const noexcept { return set_; }

 private:
  // A loop that has closed has no places.
  void check_keeps_place() const noexcept {
    check(timer_ != 0 || scheduler_.closed(), "a timer that is set keeps a place");
  }

  Scheduler& scheduler_;
  TimerId timer_ = 0;
  bool set_ = false;
};

}  // namespace leasepool::detail
