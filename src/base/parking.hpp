// Parking: which of a pool's threads look for work, and which sleep. At most one spins; whoever brings work wakes a
// sleeper only if none spins, and the spinner that found work wakes the next if there is more. So a burst of small jobs
// costs one wake-up, and a thread that blocks in a function holds nobody up; and few threads do what few can. The rule
// is that of the Go and Tokio schedulers (https://tokio.rs/blog/2019-10-scheduler).
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "base/futex.hpp"

namespace leasepool::detail {

// All in one word, so that each step is one change of it: who sleeps, who of them was told to get up (and counts as
// spinning from then on), and who spins. Every access is seq_cst: whoever brings work does that first and then looks
// here; a thread changes its state here first and then looks for work once more; one of the two sees the other.
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
  // The spinner found work, and has to wake_one() if there is more.
  void end_spinning() noexcept { state_.fetch_sub(kSpinner); }

  // A thread that goes to sleep, in one step, whether it spun or not. It then looks for work once more, and calls
  // sleep(), with the bed that it is given here, or get_up().
  [[nodiscard]] FutexBits lie_down(bool was_spinning) noexcept {
    return bed(sleeping(state_.fetch_add(was_spinning ? kSleeper - kSpinner : kSleeper)));
  }

  // Sleeps until told to get up; then it spins.
  void sleep(FutexBits bed) noexcept {
    for (std::uint64_t state = state_.load(); !take_call(state);) {
      futex_wait(sleepers_and_calls(), static_cast<std::uint32_t>(state), bed);
      state = state_.load();
    }
  }
  // Gets up without having been told to: true if it was told meanwhile, and then it spins.
  [[nodiscard]] bool get_up() noexcept {
    for (std::uint64_t state = state_.load();;) {
      if (sleeping(state) == 0) {
        if (take_call(state)) return true;
      } else if (state_.compare_exchange_weak(state, state - kSleeper)) {
        return false;
      }
    }
  }

  // After work was brought: gives whether a thread had to be woken for it. Any thread.
  bool wake_one() noexcept {
    std::uint64_t state = state_.load();
    while (spinning(state) == 0 && sleeping(state) > 0) {
      if (!state_.compare_exchange_weak(state, state - kSleeper + kCall + kSpinner)) continue;
      if (futex_wake(sleepers_and_calls(), 1, bed(sleeping(state) - 1)) == 0) futex_wake(sleepers_and_calls(), 1);
      return true;
    }
    return false;
  }
  void wake_all() noexcept {
    std::uint64_t state = state_.load();
    while (!state_.compare_exchange_weak(state, state + sleeping(state) * (kCall + kSpinner - kSleeper))) {
    }
    futex_wake(sleepers_and_calls());
  }

 private:
  static constexpr std::uint64_t kSleeper = 1;
  static constexpr std::uint64_t kCall = std::uint64_t{1} << 16U;
  static constexpr std::uint64_t kSpinner = std::uint64_t{1} << 32U;
  static constexpr std::uint64_t kMask = kCall - 1;

  static std::uint64_t sleeping(std::uint64_t state) noexcept { return state & kMask; }
  static std::uint64_t called(std::uint64_t state) noexcept { return (state / kCall) & kMask; }
  static std::uint64_t spinning(std::uint64_t state) noexcept { return state / kSpinner; }

  // Who lies down as the n-th of those that sleep: so that the last one is the first to be woken. Its memory is still
  // near, and it slept too short a time for spinning not to pay. A hint: others than the last get up, too, by
  // themselves.
  static FutexBits bed(std::uint64_t number) noexcept { return FutexBits{1} << (number % 32); }

  bool take_call(std::uint64_t& state) noexcept {
    while (called(state) > 0) {
      if (state_.compare_exchange_weak(state, state - kCall)) return true;
    }
    return false;
  }

  // The half of the word that a sleeper watches.
  const std::uint32_t* sleepers_and_calls() const noexcept {
    return reinterpret_cast<const std::uint32_t*>(&state_) + (std::endian::native == std::endian::little ? 0 : 1);
  }

  std::atomic<std::uint64_t> state_ = 0;
};

}  // namespace leasepool::detail
