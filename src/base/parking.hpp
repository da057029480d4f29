// Parking: which threads of a pool look for work, and which sleep. At most one thread spins. Whoever brings work
// unparks a thread only if none spins, and the spinner that found work unparks the next if there is more. A burst of
// small jobs so costs one wake-up, and a thread that blocks in a function holds nobody up. This is the rule of the Go
// and Tokio schedulers (https://tokio.rs/blog/2019-10-scheduler).
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "base/futex.hpp"

namespace leasepool::detail {

// A thread's states:
//
//   | state    | leaves it by                                                             |
//   | working  | begin_spinning(), prepare_park()                                         |
//   | spinning | end_spinning() to work, prepare_park()                                   |
//   | parked   | unpark_one() or unpark_all() to notified, cancel_park() to work          |
//   | notified | park() or cancel_park(), which consume the notification, to spinning     |
//
// One word counts the parked, the notified and the spinning threads, so that each step is one change of it; notified
// threads count as spinning, too. Every access is seq_cst. Whoever brings work adds it first and then looks here; a
// thread changes its state here first and then looks for work once more. So one of the two sees the other.
class Parking {
 public:
  // A thread without work: true if it is the one to spin.
  [[nodiscard]] bool begin_spinning() noexcept {
    std::uint64_t state = state_.load();
    while (spinning(state) == 0) {
      if (state_.compare_exchange_weak(state, state + kSpinner)) return true;
    }
    return false;
  }
  // The spinner found work, and has to unpark_one() if there is more.
  void end_spinning() noexcept { state_.fetch_sub(kSpinner); }

  // Announces that the thread parks, whether it spun or not. It then looks for work once more, and calls park() with
  // the slot that this returns, or cancel_park().
  [[nodiscard]] FutexBits prepare_park(bool was_spinning) noexcept {
    return wake_slot(parked(state_.fetch_add(was_spinning ? kParked - kSpinner : kParked)));
  }

  // Sleeps until it is notified; then it spins.
  void park(FutexBits slot) noexcept {
    for (std::uint64_t state = state_.load(); !consume_notification(state);) {
      futex_wait(parked_and_notified(), static_cast<std::uint32_t>(state), slot);
      state = state_.load();
    }
  }
  // Goes back to work. True if it was notified meanwhile, and then it spins.
  [[nodiscard]] bool cancel_park() noexcept {
    for (std::uint64_t state = state_.load();;) {
      if (parked(state) == 0) {
        if (consume_notification(state)) return true;
      } else if (state_.compare_exchange_weak(state, state - kParked)) {
        return false;
      }
    }
  }

  // After work was brought. Returns whether a thread had to be woken for it. Any thread.
  bool unpark_one() noexcept {
    std::uint64_t state = state_.load();
    while (spinning(state) == 0 && parked(state) > 0) {
      if (!state_.compare_exchange_weak(state, state - kParked + kNotified + kSpinner)) continue;
      if (futex_wake(parked_and_notified(), 1, wake_slot(parked(state) - 1)) == 0) futex_wake(parked_and_notified(), 1);
      return true;
    }
    return false;
  }
  void unpark_all() noexcept {
    std::uint64_t state = state_.load();
    while (!state_.compare_exchange_weak(state, state + parked(state) * (kNotified + kSpinner - kParked))) {
    }
    futex_wake(parked_and_notified());
  }

 private:
  static constexpr std::uint64_t kParked = 1;
  static constexpr std::uint64_t kNotified = std::uint64_t{1} << 16U;
  static constexpr std::uint64_t kSpinner = std::uint64_t{1} << 32U;
  static constexpr std::uint64_t kMask = kNotified - 1;

  static std::uint64_t parked(std::uint64_t state) noexcept { return state & kMask; }
  static std::uint64_t notified(std::uint64_t state) noexcept { return (state / kNotified) & kMask; }
  static std::uint64_t spinning(std::uint64_t state) noexcept { return state / kSpinner; }

  // The futex bit of the n-th parked thread, so that the last one that parked is woken first: its memory is still in
  // the caches. A hint only, as others than the last may cancel.
  static FutexBits wake_slot(std::uint64_t number) noexcept { return FutexBits{1} << (number % 32); }

  bool consume_notification(std::uint64_t& state) noexcept {
    while (notified(state) > 0) {
      if (state_.compare_exchange_weak(state, state - kNotified)) return true;
    }
    return false;
  }

  // The half of the word that a parked thread waits on.
  const std::uint32_t* parked_and_notified() const noexcept {
    return reinterpret_cast<const std::uint32_t*>(&state_) + (std::endian::native == std::endian::little ? 0 : 1);
  }

  std::atomic<std::uint64_t> state_ = 0;
};

}  // namespace leasepool::detail
