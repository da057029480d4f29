// How a floor wakes who has found nothing for long.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstddef>
#include <cstdint>

namespace peers {

inline constexpr std::size_t kLine = 64;  // bytes of a cache line

// Has one thread sleep, of whatever process, that finds nothing for long. It announces that and looks once more;
// whoever brings something does so, by an operation that is sequentially consistent, and then looks here: one of the
// two sees the other.
class alignas(kLine) Bell {
 public:
  void ring() noexcept {
    if (sleeps_.load() != 0 && sleeps_.exchange(0) != 0) ::syscall(SYS_futex, &sleeps_, FUTEX_WAKE, INT_MAX);
  }

  template <class Ready>
  void wait_for(const Ready& ready) noexcept {
    for (;;) {
      for (int looks = 0; looks < kLooks; ++looks) {
        if (ready()) return;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
      }
      sleeps_.store(1);
      if (ready()) return sleeps_.store(0);
      ::syscall(SYS_futex, &sleeps_, FUTEX_WAIT, 1, nullptr);
    }
  }

 private:
  static constexpr int kLooks = 4096;
  std::atomic<std::uint32_t> sleeps_ = 0;
};

}  // namespace peers
