// Starting, moving and cancelling the operation, and what its completion means.
#include "loop/linked_wait.hpp"

#include <cerrno>
#include <new>
#include <utility>

#include "loop/loop_core.hpp"

namespace leasepool::detail {

// Lives until its completion, whoever waited for it is gone or not.
struct LinkedWait::Operation {
  LinkedWait* owner = nullptr;  // null once that is gone
  OperationId id = 0;           // 0: not in flight
  TimePoint deadline = kNever;
  bool cancelled = false;
};

LinkedWait::LinkedWait(LoopCore& loop, Scheduler::Handler expired)
    : loop_(loop),
      expired_(std::make_shared<Scheduler::Handler>(std::move(expired))),
      instead_(loop),
      operation_(std::make_shared<Operation>()) {
  operation_->owner = this;
  instead_.keep();
}

LinkedWait::~LinkedWait() {
  loop_.remove_turn_end(*this);
  instead_.disarm();
  operation_->owner = nullptr;
  if (operation_->id != 0) loop_.engine().cancel(operation_->id);
}

void LinkedWait::arm(TimePoint deadline) noexcept {
  if (deadline == wanted_) return;
  if (instead_.is_set()) return instead_.set(wanted_ = deadline, [this] { expire(); });
  wanted_ = deadline;
  loop_.at_turn_end(*this);
}

void LinkedWait::disarm() noexcept {
  wanted_ = kNever;
  instead_.unset();
  if (operation_->id != 0) loop_.at_turn_end(*this);
}

void LinkedWait::turn_ends(Engine& engine) noexcept {
  Operation& operation = *operation_;
  if (operation.id == 0) {
    if (wanted_ != kNever) start(engine);
  } else if (operation.cancelled) {
    return;
  } else if (wanted_ == kNever) {
    operation.cancelled = true;
    engine.cancel(operation.id);
  } else if (wanted_ != operation.deadline) {
    operation.deadline = wanted_;
    engine.set_deadline(operation.id, wanted_);
  }
}

void LinkedWait::start(Engine& engine) noexcept {
  operation_->deadline = wanted_;
  operation_->cancelled = false;
  try {
    operation_->id = engine.poll(
        loop_.inbox()->doorbell_fd(), 0,
        [operation = operation_](Completion completion) {
          operation->id = 0;
          if (operation->owner != nullptr) operation->owner->completed(completion.result, completion.timed_out);
        },
        wanted_);
  } catch (const std::bad_alloc&) {
    instead_.set(wanted_, [this] { expire(); });
  }
}

void LinkedWait::completed(int result, bool timed_out) {
  if (wanted_ == kNever) return;
  if (timed_out && wanted_ <= loop_.now()) return expire();  // else it was moved when its time had come already
  const bool was_cancelled = operation_->cancelled && result == -ECANCELED;
  timed_out || was_cancelled ? loop_.at_turn_end(*this) : instead_.set(wanted_, [this] { expire(); });  // refused
}

void LinkedWait::expire() {
  instead_.unset();
  wanted_ = kNever;
  const auto expired = expired_;
  (*expired)();
}

}  // namespace leasepool::detail
