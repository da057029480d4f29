// Whether this build resumes one coroutine from another by a tail call, so that a long row of awaits takes no stack.
#pragma once

#include <cstdint>

#include "leasepool/loop.hpp"

namespace leasepool::test {

// How much of the stack 100 awaits of ready tasks take.
[[gnu::noinline]] inline std::uintptr_t stack_of_100_awaits() {
  struct Place {
    [[gnu::noinline]] static std::uintptr_t here() {
      return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    }
  };
  const auto ready = []() -> Task<> { co_return; };
  const auto measure = [&ready]() -> Task<std::uintptr_t> {
    const std::uintptr_t before = Place::here();
    for (int i = 0; i < 100; ++i) co_await ready();
    co_return before - Place::here();
  };
  Loop loop;
  return loop.block_on(measure());
}

// Clang does in every build. GCC does at -O2 and not under a sanitizer; nothing it defines tells, so it is measured.
inline bool has_tail_calls() {
#if defined(__clang__)
  return true;
#else
  return stack_of_100_awaits() < 1000;
#endif
}

}  // namespace leasepool::test
