// AdaptiveSpin: how long to look for what comes next before sleeping, as going to sleep and being woken costs a few
// microseconds on either side. The bound grows and shrinks as that of KVM's halt polling does
// (https://docs.kernel.org/virt/kvm/halt-polling.html).
#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail {

// Tells the processor that this thread only waits.
inline void relax_processor() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Takes part in the count of this process's spinning threads, which is never above that of the processors it may run
// on; and does not, where there is only one.
class SpinPermit {
 public:
  SpinPermit() noexcept;
  SpinPermit(const SpinPermit&) = delete;
  SpinPermit& operator=(const SpinPermit&) = delete;
  ~SpinPermit();
  explicit operator bool() const noexcept { return granted_; }

 private:
  bool granted_;
};

// One thread.
class AdaptiveSpin {
 public:
  // Zero: it never spins.
  explicit AdaptiveSpin(Duration most) noexcept : most_(most), bound_(most) {}

  void allow(Duration most) noexcept {
    if (most <= most_) return;
    most_ = most;
    bound_ = most;
  }

  [[nodiscard]] Duration bound() const noexcept { return bound_; }

  // Looks until `ready()` says so, for as long as that paid lately, and at most until the deadline. Returns whether it
  // became ready; if not, the caller sleeps, and then says for how long.
  template <class Ready>
  bool spin(const Ready& ready, TimePoint deadline = kNever) noexcept {
    if (ready()) return true;
    if (bound_ <= Duration::zero()) return false;
    if (look(kFreeLooks, ready)) return true;
    const SpinPermit permit;
    if (!permit) return false;
    const TimePoint begin = monotonic_now();
    const TimePoint end = std::min(deadline, begin + bound_);
    for (TimePoint last = begin; last < end;) {
      if (look(kLooksBetweenReadings, ready)) return true;
      const TimePoint now = monotonic_now();
      if (now - last > kTakenAway) shrink();  // somebody else wants this processor
      last = now;
    }
    return ready();
  }

  // A sleep that no spin would have spared ends spinning at once: in a flow of calls further apart than `most`, each
  // spin is for nothing. It takes six short sleeps to be back at 50 us.
  void slept(Duration how_long) noexcept {
    if (bound_ + how_long <= most_) {
      bound_ = std::min(most_, std::max(2 * bound_, kShortest));
    } else if (how_long > most_) {
      bound_ = Duration::zero();
    }
  }

 private:
  static constexpr int kFreeLooks = 64;  // about a microsecond, which is not worth counting who spins
  static constexpr int kLooksBetweenReadings = 16;
  static constexpr Duration kShortest = std::chrono::microseconds(2);
  static constexpr Duration kTakenAway = std::chrono::microseconds(20);

  template <class Ready>
  static bool look(int times, const Ready& ready) noexcept {
    for (; times > 0; --times) {
      relax_processor();
      if (ready()) return true;
    }
    return false;
  }

  void shrink() noexcept { bound_ = bound_ <= kShortest ? Duration::zero() : bound_ / 2; }

  Duration most_;
  Duration bound_;
};

}  // namespace leasepool::detail
