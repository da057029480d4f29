// Measures how long the loop was kept from its work: a timer that fires every millisecond, and how late it came.
#pragma once

#include <leasepool/loop.hpp>

#include <algorithm>
#include <chrono>

namespace lpbench {

// From construction on; destroyed before the loop. Off by a millisecond at most, to the low side.
class LoopWatch {
 public:
  explicit LoopWatch(leasepool::Loop& loop) : loop_(&loop) { arm(); }
  LoopWatch(const LoopWatch&) = delete;
  LoopWatch& operator=(const LoopWatch&) = delete;

  // The worst lateness so far, the one that is just growing included.
  [[nodiscard]] leasepool::Duration longest_block() const { return std::max(longest_, lateness()); }

 private:
  static constexpr leasepool::Duration kTick = std::chrono::milliseconds(1);

  void arm() {
    armed_ = std::chrono::steady_clock::now();
    timer_ = loop_->call_after(kTick, [this] {
      longest_ = longest_block();
      arm();
    });
  }
  [[nodiscard]] leasepool::Duration lateness() const { return std::chrono::steady_clock::now() - armed_ - kTick; }

  leasepool::Loop* loop_;
  leasepool::Timer timer_;
  leasepool::TimePoint armed_;
  leasepool::Duration longest_ = leasepool::Duration::zero();
};

}  // namespace lpbench
