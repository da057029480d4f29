// Replaces operator new in a program, so that a test says which allocation fails.
#pragma once

#include <cstddef>

namespace leasepool::test {

// Which allocations of the program, of whatever thread, throw std::bad_alloc while this lives: the n-th (from 1), or
// that and all that follow.
class MemoryGate {
 public:
  enum class Fails { once, from_then_on };

  MemoryGate(std::size_t n, Fails fails) noexcept;
  MemoryGate(const MemoryGate&) = delete;
  MemoryGate& operator=(const MemoryGate&) = delete;
  ~MemoryGate();
  // Whether an allocation has failed.
  [[nodiscard]] bool refused() const noexcept;
};

// Allocations that were not freed, but for those that the library keeps for later jobs.
std::size_t live_allocations() noexcept;

}  // namespace leasepool::test
