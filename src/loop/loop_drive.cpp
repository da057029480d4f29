// Who drives the loop: its own thread, an outer loop that sleeps on poll_fd(), or a test on a clock of its own.
#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "loop/kept_timer.hpp"
#include "loop/loop_core.hpp"
#include "loop/turning.hpp"

namespace leasepool::detail {

// Marks the time in which this loop takes its turns: before and after, whoever drives it sleeps on poll_fd(). A
// callback may destroy the Loop: it ends here, when the callback has returned.
class LoopCore::Driving {
 public:
  Driving(LoopCore& loop, const char* verb) : loop_(loop) { loop_.begin_turns(verb); }
  Driving(const Driving&) = delete;
  Driving& operator=(const Driving&) = delete;
  ~Driving() { loop_.close_asked_ ? loop_.close_now() : loop_.end_turns(); }

 private:
  LoopCore& loop_;
};

void LoopCore::run_until(const bool& ended, Handler begin) {
  const auto self = shared_from_this();
  {
    const Driving driving(*this, "block_on");
    {
      const Turning turning(turning_);
      begin();
    }
    while (!ended && !close_asked_) turn(true);
  }
  if (!ended) {
    throw LeasePoolError(Errc::cancelled,
                         "block_on(): one of its own callbacks destroyed the Loop before the task had ended");
  }
}

void LoopCore::run_until_stopped() {
  const auto self = shared_from_this();
  const Driving driving(*this, "run");
  while (!stop_requested_ && !close_asked_) turn(true);
  stop_requested_ = false;
}

void LoopCore::dispatch() {
  const auto self = shared_from_this();
  const Driving driving(*this, "dispatch");
  constexpr int kTurnsAtMost = 64;  // the outer loop has other things to do
  int turns = 0;
  do {
    turn(false);
  } while (!close_asked_ && has_work() && ++turns < kTurnsAtMost);
}

void LoopCore::advance(Duration by) {
  check(time_ != nullptr, "only a simulated loop's time is moved");
  const auto self = shared_from_this();
  const Driving driving(*this, "advance");
  const TimePoint goal = std::min(deadline_after(time_->now, by), kPlaceKept - Duration(1));
  for (;;) {
    do turn(false);
    while (!close_asked_ && has_work());
    if (close_asked_ || timers_.earliest() > goal) break;
    time_->now = std::max(time_->now, timers_.earliest());
  }
  time_->now = std::max(time_->now, goal);
}

void LoopCore::begin_turns(const char* verb) {
  check_thread(verb);
  if (turning_) {
    throw std::logic_error(std::string("leasepool: ") + verb + "() called from a callback of the same loop");
  }
  exit_interrupt_mode();
}

// From here on somebody else may sleep in this loop's place: what comes must make poll_fd() readable, and so must what
// is here already.
void LoopCore::end_turns() {
  if (!wake_set_) return;
  turn_ends_.run(*engine_);
  engine_->set_wakeup(timers_.earliest());
  int error = engine_->submit_and_reap();
  inbox_->asleep();
  wake_set_->clear();
  // What came in between made it readable, which was cleared, and while it waits in the kernel nothing that follows it
  // does so again. A flag that was stale before says nothing of it: only an entry does.
  if (error == 0) error = engine_->submit_and_reap();
  pollers_.each([](Poller& poller) { (void)poller.try_enter_interrupt_mode(); });
  if (error != 0 || has_work() || engine_->has_unsubmitted() || engine_->has_unreaped()) wake_set_->signal();
}

int LoopCore::poll_fd() {
  check_thread("poll_fd");
  if (!wake_set_) {
    wake_set_.emplace(*engine_, inbox_->doorbell_fd());
    if (!turning_) end_turns();
  }
  return wake_set_->fd();
}

// Outside of a turn, this thread is in another loop's hands: let it come back to dispatch().
void LoopCore::wake_if_driven_from_outside() noexcept {
  if (!turning_) inbox_->ring_doorbell();
}

}  // namespace leasepool::detail
