// Sleeping on a word of memory, futex(2): for threads that have looked for work long enough.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdint>

namespace leasepool::detail {

// Bits by which those who sleep on the same word can be told apart.
using FutexBits = std::uint32_t;
inline constexpr FutexBits kAnyFutexBit = FUTEX_BITSET_MATCH_ANY;

// Sleeps while the word has the value; may return early, so callers look again.
inline void futex_wait(const std::uint32_t* word, std::uint32_t value, FutexBits bits = kAnyFutexBit) noexcept {
  ::syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, nullptr, nullptr, bits);
}

// Wakes up to `count` threads that sleep on the word with one of the bits, in the order in which they went to sleep;
// returns how many.
inline long futex_wake(const std::uint32_t* word, int count = INT_MAX, FutexBits bits = kAnyFutexBit) noexcept {
  return ::syscall(SYS_futex, word, FUTEX_WAKE_BITSET_PRIVATE, count, nullptr, nullptr, bits);
}

}  // namespace leasepool::detail
