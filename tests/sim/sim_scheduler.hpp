// SimScheduler: a loop without a kernel: a virtual clock that moves only when told, and everything in order.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/intrusive_queue.hpp"
#include "loop/kept_timer.hpp"
#include "loop/scheduler.hpp"
#include "loop/timed_wait.hpp"
#include "loop/timer_queue.hpp"
#include "support/memory_pause.hpp"

namespace leasepool::test {

class SimScheduler final : public detail::Scheduler {
 public:
  [[nodiscard]] TimePoint now() const noexcept override { return now_ += per_reading; }
  [[nodiscard]] TimePoint turn_time() const noexcept override { return now_; }
  detail::TimerId call_at(TimePoint deadline, Handler handler) override {
    return deadline == TimePoint::max() ? 0 : timers_.add(deadline, std::move(handler));
  }
  bool cancel_timer(detail::TimerId id) noexcept override { return timers_.cancel(id); }
  std::unique_ptr<detail::TimedWait> make_timed_wait(Handler expired) override {
    return std::make_unique<detail::TimerWait>(*this, std::move(expired));
  }
  using Scheduler::defer;
  using Scheduler::post;
  using Scheduler::report;
  void defer(std::unique_ptr<detail::Deferred> deferred) noexcept override { due_.push_back(std::move(deferred)); }
  void report(std::unique_ptr<detail::Deferred> deferred) noexcept override { due_.push_back(std::move(deferred)); }
  void deliver(std::unique_ptr<detail::Deliverable> ended) noexcept override {
    const MemoryPause pause;
    defer([ended = std::move(ended)] { ended->deliver(); });
  }
  void post(std::unique_ptr<detail::Deferred> deferred) noexcept override { due_.push_back(std::move(deferred)); }
  [[nodiscard]] bool on_thread() const noexcept override { return true; }
  [[nodiscard]] bool closed() const noexcept override { return false; }

  [[nodiscard]] bool flush_after_callbacks(const std::shared_ptr<detail::Coalesced>& work) noexcept override {
    if (!coalesces) return false;
    coalesced_.push_back(work);
    return true;
  }

  // One callback that is due now; false when there is none.
  bool step() {
    if (!due_.empty()) {
      due_.pop_front()->run();
    } else if (!coalesced_.empty()) {
      for (const auto& work : std::exchange(coalesced_, {})) work->flush();
    } else if (auto handler = timers_.take_due(now_, timers_.mark())) {
      handler();
    } else {
      return false;
    }
    if (after_callback) after_callback();
    return true;
  }
  void run_until_idle() {
    while (step()) {
    }
  }
  // To a later time, by way of every deadline before it.
  void advance(Duration by) {
    const TimePoint goal = now_ + by;
    run_until_idle();
    while (timers_.earliest() <= goal) {
      now_ = std::max(now_, timers_.earliest());
      run_until_idle();
    }
    now_ = std::max(now_, goal);
  }
  // At once to a later time, as after the program was stopped: what became due meanwhile comes in order.
  void jump(Duration by) {
    now_ += by;
    run_until_idle();
  }
  std::function<void()> after_callback;
  bool coalesces = false;  // as a loop that has more callbacks to run
  Duration per_reading{};  // how much time each reading of the clock takes
  [[nodiscard]] bool idle() const noexcept { return due_.empty() && timers_.empty(); }
  // The same, but for timers that only keep their places.
  [[nodiscard]] bool nothing_comes() const noexcept { return due_.empty() && timers_.earliest() >= detail::kPlaceKept; }

 private:
  mutable TimePoint now_{std::chrono::hours(1)};
  detail::TimerQueue timers_;
  detail::IntrusiveQueue<detail::Deferred> due_;
  std::vector<std::shared_ptr<detail::Coalesced>> coalesced_;
};

}  // namespace leasepool::test
