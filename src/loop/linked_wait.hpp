// LinkedWait: a TimedWait that is an operation on the ring, with its deadline as the timeout linked to it.
#pragma once

#include <memory>

#include "loop/kept_timer.hpp"
#include "loop/timed_wait.hpp"
#include "loop/turn_end.hpp"

namespace leasepool::detail {

class LoopCore;

// The operation polls the loop's doorbell for nothing, so that only its timeout and its cancellation end it. It is
// started, moved and cancelled at the end of a turn: what is armed and disarmed within one costs no entry. Where the
// ring refuses it, a timer of the loop's does the same. Loop thread only; the loop outlives it.
//
//   operation     wanted      at the end of the turn
//   none          a deadline  it is started
//   in flight     the same    nothing
//   in flight     another     its deadline is moved
//   in flight     none        it is cancelled
//   cancelled     anything    nothing: its completion comes first
class LinkedWait final : public TimedWait, private TurnEnd {
 public:
  // `expired` runs when the wait has ended at its deadline. Throws std::bad_alloc.
  LinkedWait(LoopCore& loop, Scheduler::Handler expired);
  ~LinkedWait() override;

  void arm(TimePoint deadline) noexcept override;
  void disarm() noexcept override;
  [[nodiscard]] bool is_armed() const noexcept override { return wanted_ != kNever; }

 private:
  struct Operation;

  void turn_ends(Engine& engine) noexcept override;
  void start(Engine& engine) noexcept;
  void completed(int result, bool timed_out);
  void expire();

  LoopCore& loop_;
  const std::shared_ptr<Scheduler::Handler> expired_;  // may destroy this while it runs
  KeptTimer instead_;                                  // of an operation that the ring refused
  const std::shared_ptr<Operation> operation_;
  TimePoint wanted_ = kNever;
};

}  // namespace leasepool::detail
