// Sleeping on a word of memory, futex(2): for threads that have looked for work long enough.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdint>

namespace leasepool::detail {

// Sleeps while the word has the value; may return early, so callers look again.
inline void futex_wait(const std::uint32_t* word, std::uint32_t value) noexcept {
  ::syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

// Wakes up to `count` threads that sleep on the word.
inline void futex_wake(const std::uint32_t* word, int count = INT_MAX) noexcept {
  ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

}  // namespace leasepool::detail
