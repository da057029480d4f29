// Counting forks in the child.
#include "base/process_identity.hpp"

#include <pthread.h>

#include <atomic>

namespace leasepool::detail {

namespace {

std::atomic<std::uint64_t> generation = 0;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): counts forks

// pthread_atfork() fails for want of memory alone, when the library is loaded: then nothing else works either.
const int registered = ::pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

std::uint64_t process_generation() noexcept { return generation.load(std::memory_order_relaxed); }

}  // namespace leasepool::detail
