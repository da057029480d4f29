// The loop of the targets that have one.
#pragma once

#include <chrono>
#include <memory>

#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"
#include "loop/loop_core.hpp"

namespace leasepool::fuzz {

// One for all inputs, as each costs system calls.
inline const std::shared_ptr<detail::LoopCore>& shared_loop() {
  static Loop loop;
  static const std::shared_ptr<detail::LoopCore> core = detail::Access::core(loop);
  return core;
}

// Handles what is there, and does not wait.
inline void turn(detail::LoopCore& loop) {
  bool done = false;
  loop.run_until(done, [&] { loop.defer([&done] { done = true; }); });
}

// Handles what comes until it holds; false when that takes absurdly long.
template <class Holds>
[[nodiscard]] bool turn_until(detail::LoopCore& loop, Holds holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!holds()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    turn(loop);
  }
  return true;
}

}  // namespace leasepool::fuzz
