// SubmitCoalescer: which of the calls that are submitted one by one wait a moment, so that several go to the workers
// together: each hand-over makes the workers' processors fetch what they watch anew.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>

#include "leasepool/duration.hpp"
#include "loop/scheduler.hpp"

namespace leasepool::detail {

// Loop thread only.
class SubmitCoalescer {
 public:
  explicit SubmitCoalescer(Scheduler& scheduler) noexcept : scheduler_(scheduler) {}

  // Whether the call that was queued last, of so many, waits: `work`, which a shared_ptr owns, will be asked to hand
  // over what is queued. False: it is to be handed over now. That is for the first of a succession, for one that
  // nothing follows in this turn, and for one that makes them enough.
  template <std::derived_from<Coalesced> Work>
  [[nodiscard]] bool should_defer(Work& work, TimePoint submitted, std::size_t queued) {
    if (submitted - first_ < kQuick && queued % kTogether != 0) {
      held_ = held_ || scheduler_.flush_after_callbacks(work.shared_from_this());
      if (held_) return true;
    }
    first_ = submitted;
    return false;
  }

  // Whether the loop will ask for the hand-over; and it was made.
  [[nodiscard]] bool held() const noexcept { return held_; }
  void flushed() noexcept { held_ = false; }

 private:
  // So close together that the loop would not be done with the first before the next comes.
  static constexpr Duration kQuick = std::chrono::microseconds(3);
  static constexpr std::size_t kTogether = 8;

  Scheduler& scheduler_;
  TimePoint first_{};  // when the call was submitted that was handed over last
  bool held_ = false;
};

}  // namespace leasepool::detail
