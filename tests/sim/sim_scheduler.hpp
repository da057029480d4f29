// SimScheduler: a loop without a kernel: a virtual clock that moves only when told, and everything in order.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "loop/scheduler.hpp"
#include "loop/timer_queue.hpp"

namespace leasepool::test {

class SimScheduler final : public detail::Scheduler {
 public:
  [[nodiscard]] TimePoint now() const noexcept override { return now_; }
  detail::TimerId call_at(TimePoint deadline, Handler handler) override {
    return deadline == TimePoint::max() ? 0 : timers_.add(deadline, std::move(handler));
  }
  bool cancel_timer(detail::TimerId id) override { return timers_.cancel(id); }
  void defer(Handler handler) override { due_.push_back(std::move(handler)); }
  void report(Handler handler) override { due_.push_back(std::move(handler)); }
  void deliver(std::unique_ptr<detail::Job> job) override {
    due_.push_back([job = std::move(job)] { job->deliver(); });
  }
  void post(Handler handler) override { due_.push_back(std::move(handler)); }
  [[nodiscard]] bool on_thread() const noexcept override { return true; }
  [[nodiscard]] bool closed() const noexcept override { return false; }

  // One callback that is due now; false when there is none.
  bool step() {
    if (!due_.empty()) {
      Handler next = std::move(due_.front());
      due_.pop_front();
      next();
    } else if (auto handler = timers_.take_due(now_, timers_.mark())) {
      handler();
    } else {
      return false;
    }
    if (after_callback) after_callback();
    return true;
  }
  void settle() {
    while (step()) {
    }
  }
  // To a later time, by way of every deadline before it.
  void advance(Duration by) {
    const TimePoint goal = now_ + by;
    settle();
    while (timers_.earliest() <= goal) {
      now_ = timers_.earliest();
      settle();
    }
    now_ = goal;
  }
  // At once to a later time, as after the program was stopped: what became due meanwhile comes in order.
  void jump(Duration by) {
    now_ += by;
    settle();
  }
  std::function<void()> after_callback;
  [[nodiscard]] bool idle() const noexcept { return due_.empty() && timers_.empty(); }

 private:
  TimePoint now_{std::chrono::hours(1)};
  detail::TimerQueue timers_;
  std::deque<Handler> due_;
};

}  // namespace leasepool::test
