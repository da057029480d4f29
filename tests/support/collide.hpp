// collide(): two things done at the same moment in two threads, again and again. Where each of them stores and then
// looks, and one at least has to see the other, a store that is not ordered before its look is found within a moment:
// also on x86, which lets a load pass a store, as long as little lies between the two: so compile it optimized.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "base/adaptive_spin.hpp"

namespace leasepool::test {

// `there` runs in a thread of its own while `here` runs in this one; `between` runs in this one when both have
// returned, and says by false that it has seen enough. For half a second.
template <class There, class Here, class Between>
void collide(There there, Here here, Between between) {
  constexpr std::uint64_t kOver = UINT64_MAX;
  std::atomic<std::uint64_t> begun = 0;
  std::atomic<std::uint64_t> ended = 0;
  const auto wait_until = [](const std::atomic<std::uint64_t>& reached, std::uint64_t round) {
    for (int looks = 0; reached.load(std::memory_order_acquire) < round; ++looks) {
      looks < 1000 ? detail::relax_processor() : std::this_thread::yield();
    }
    return reached.load(std::memory_order_relaxed);
  };
  // Each is earlier than the other in some rounds, by some nanoseconds and by up to a microsecond.
  const auto pause = [](std::uint64_t round) {
    for (std::uint64_t left = (round * 7 % 64) << (round / 64 % 6); left > 0; --left) asm volatile("");
  };
  std::jthread other([&] {
    for (std::uint64_t round = 1; wait_until(begun, round) != kOver; ++round) {
      if (round % 2 == 0) pause(round / 2);
      there();
      ended.store(round, std::memory_order_release);
    }
  });
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  for (std::uint64_t round = 1; std::chrono::steady_clock::now() < end; ++round) {
    begun.store(round, std::memory_order_release);
    if (round % 2 == 1) pause(round / 2);
    here();
    (void)wait_until(ended, round);
    if (!between()) break;
  }
  begun.store(kOver, std::memory_order_release);
}

}  // namespace leasepool::test
