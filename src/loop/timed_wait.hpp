// TimedWait: a wait that ends at its deadline, unless it is disarmed before.
#pragma once

#include <memory>
#include <utility>

#include "loop/kept_timer.hpp"

namespace leasepool::detail {

// Loop thread only. Arming and disarming need no memory. Destroying it disarms it.
class TimedWait {
 public:
  TimedWait() = default;
  TimedWait(const TimedWait&) = delete;
  TimedWait& operator=(const TimedWait&) = delete;
  virtual ~TimedWait() = default;

  // From the end of this turn on; where it is armed already, its deadline is moved. Not kNever.
  virtual void arm(TimePoint deadline) noexcept = 0;
  virtual void disarm() noexcept = 0;
  [[nodiscard]] virtual bool is_armed() const noexcept = 0;
};

// By a timer of the scheduler's: for one that has no ring.
class TimerWait final : public TimedWait {
 public:
  // `expired` runs when the wait has ended at its deadline. Throws std::bad_alloc.
  TimerWait(Scheduler& scheduler, Scheduler::Handler expired)
      : timer_(scheduler), expired_(std::make_shared<Scheduler::Handler>(std::move(expired))) {
    timer_.keep();
  }
  ~TimerWait() override { timer_.disarm(); }

  void arm(TimePoint deadline) noexcept override {
    timer_.set(deadline, [this] {
      timer_.came();
      const auto expired = expired_;
      (*expired)();
    });
  }
  void disarm() noexcept override { timer_.unset(); }
  [[nodiscard]] bool is_armed() const noexcept override { return timer_.is_set(); }

 private:
  KeptTimer timer_;
  const std::shared_ptr<Scheduler::Handler> expired_;  // may destroy this while it runs
};

}  // namespace leasepool::detail
