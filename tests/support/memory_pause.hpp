// Which allocations a MemoryGate (tests/allocations/) lets through whatever it is set to: those of the test itself.
#pragma once

#include <utility>

namespace leasepool::test {

// While it lives, this thread's allocations neither fail nor count.
class MemoryPause {
 public:
  MemoryPause() noexcept { ++depth; }
  MemoryPause(const MemoryPause&) = delete;
  MemoryPause& operator=(const MemoryPause&) = delete;
  ~MemoryPause() { --depth; }

  [[nodiscard]] static bool is_on() noexcept { return depth > 0; }

 private:
  friend class MemoryResume;
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): operator new has no argument to find it by
  static inline thread_local int depth = 0;
};

// The opposite, where the test calls what it tests.
class MemoryResume {
 public:
  MemoryResume() noexcept : before_(std::exchange(MemoryPause::depth, 0)) {}
  MemoryResume(const MemoryResume&) = delete;
  MemoryResume& operator=(const MemoryResume&) = delete;
  ~MemoryResume() { MemoryPause::depth = before_; }

 private:
  const int before_;
};

}  // namespace leasepool::test
