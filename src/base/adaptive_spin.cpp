// The count of spinning threads.
#include "base/adaptive_spin.hpp"

#include <sched.h>

#include <atomic>

namespace leasepool::detail {

namespace {

int most_spinners() noexcept {
  cpu_set_t processors;
  CPU_ZERO(&processors);
  const int count = ::sched_getaffinity(0, sizeof processors, &processors) == 0 ? CPU_COUNT(&processors) : 1;
  return count > 1 ? count : 0;
}

std::atomic<int>& spinners() noexcept {
  static std::atomic<int> count = 0;
  return count;
}

}  // namespace

SpinPermit::SpinPermit() noexcept {
  static const int most = most_spinners();
  granted_ = most > 0 && spinners().fetch_add(1, std::memory_order_relaxed) < most;
  if (!granted_ && most > 0) spinners().fetch_sub(1, std::memory_order_relaxed);
}

SpinPermit::~SpinPermit() {
  if (granted_) spinners().fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace leasepool::detail
