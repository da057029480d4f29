// LinkedTimeout: an operation and its timeout complete apart, in either order; this says what the two mean together.
// Pure.
//
// Seen on Linux 6.18 (op: the operation's result, timeout: the other's):
//
//   case                                      op                   timeout
//   the operation ends first                  its own              -ECANCELED
//   the timeout fires                         -ECANCELED           -ETIME, mostly first
//   it fires in the middle (MSG_WAITALL)      what was done        -ETIME
//   a race of the two                         its own              -ENOENT or -ECANCELED
//   it fires, and the operation runs on       -EINTR or its own    -EALREADY
//   the operation is cancelled                -ECANCELED           -ECANCELED
//   the kernel refuses the timeout            -ECANCELED: not run  -ENOMEM, -EINVAL
//   the pair was cut: it runs without         not yet              -EINVAL
#pragma once

#include <cerrno>
#include <cstdint>

#include "base/check.hpp"

namespace leasepool::detail {

class LinkedTimeout {
 public:
  // How the timeout is known to the kernel.
  enum class State : std::uint8_t {
    none,    // the operation has none
    linked,  // to the operation: it ends with it
    alone,   // the pair was cut: an operation of its own, to be removed when the other ends
    ended,
  };

  void begin(bool with_timeout) noexcept { *this = {}, state_ = with_timeout ? State::linked : State::none; }

  void operation_ended(int result) noexcept {
    check(!operation_ended_, "an operation ends once");
    operation_ended_ = true;
    result_ = result;
  }

  enum class Next : std::uint8_t {
    nothing,
    start_timeout,     // one of its own: the operation runs on without
    cancel_operation,  // its time is over, or cannot be limited
  };
  // What the kernel said of the timeout.
  [[nodiscard]] Next timeout_ended(int result) noexcept {
    check(has_timeout(), "a timeout ends once");
    const bool was_linked = state_ == State::linked;
    state_ = State::ended;
    timeout_result_ = result;
    if (is_refusal(result)) refusal_ = result;
    if (operation_ended_) return Next::nothing;
    if (!is_refusal(result)) return was_linked || result != -ETIME ? Next::nothing : Next::cancel_operation;
    if (!was_linked) return Next::cancel_operation;
    state_ = State::alone;
    return Next::start_timeout;
  }
  // The one of its own was not submitted yet, and is not any more.
  void timeout_dropped() noexcept {
    check(state_ == State::alone, "only a timeout of its own is dropped");
    state_ = State::ended;
  }

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool has_timeout() const noexcept { return state_ == State::linked || state_ == State::alone; }
  [[nodiscard]] bool operation_has_ended() const noexcept { return operation_ended_; }
  [[nodiscard]] bool both_ended() const noexcept { return operation_ended_ && !has_timeout(); }

  // When both have ended. What ended by the timeout may have done a part by then.
  [[nodiscard]] bool timed_out() const noexcept {
    return timeout_result_ == -ETIME || (timeout_result_ == -EALREADY && (result_ == -ECANCELED || result_ == -EINTR));
  }
  // The operation's own; or why the kernel refused its timeout, and so did not run it.
  [[nodiscard]] int result(bool cancelled) const noexcept {
    const bool did_not_run = result_ == -ECANCELED && !cancelled && !timed_out() && refusal_ != 0;
    return did_not_run ? refusal_ : result_;
  }

 private:
  static bool is_refusal(int result) noexcept {
    switch (result) {
      case 0:
      case -ETIME:
      case -ECANCELED:
      case -ENOENT:
      case -EALREADY: return false;
      default: return true;
    }
  }

  State state_ = State::none;
  bool operation_ended_ = false;
  int result_ = 0;
  int timeout_result_ = 0;
  int refusal_ = 0;
};

}  // namespace leasepool::detail
