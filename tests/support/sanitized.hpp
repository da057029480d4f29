// Whether this build runs under AddressSanitizer or ThreadSanitizer, whose allocators and checks need more of the
// system than some tests leave.
#pragma once

#include <cstddef>

#if defined(__has_feature)
#define LEASEPOOL_TEST_HAS_FEATURE(name) __has_feature(name)
#else
#define LEASEPOOL_TEST_HAS_FEATURE(name) false
#endif

namespace leasepool::test {

#if defined(__SANITIZE_THREAD__) || LEASEPOOL_TEST_HAS_FEATURE(thread_sanitizer)
inline constexpr bool kThreadSanitized = true;
#else
inline constexpr bool kThreadSanitized = false;
#endif

#if defined(__SANITIZE_ADDRESS__) || LEASEPOOL_TEST_HAS_FEATURE(address_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = kThreadSanitized;
#endif

// That a process has without having started any.
inline constexpr std::size_t kRuntimeThreads = kThreadSanitized ? 1 : 0;

}  // namespace leasepool::test

#undef LEASEPOOL_TEST_HAS_FEATURE
