// Whether this build runs under AddressSanitizer or ThreadSanitizer.
#pragma once

#include <cstddef>

#if defined(__has_feature)
#define LEASEPOOL_HAS_FEATURE(name) __has_feature(name)
#else
#define LEASEPOOL_HAS_FEATURE(name) 0
#endif

namespace leasepool::detail {

#if defined(__SANITIZE_ADDRESS__) || LEASEPOOL_HAS_FEATURE(address_sanitizer)
inline constexpr bool kWithAddressSanitizer = true;
#else
inline constexpr bool kWithAddressSanitizer = false;
#endif

#if defined(__SANITIZE_THREAD__) || LEASEPOOL_HAS_FEATURE(thread_sanitizer)
inline constexpr bool kWithThreadSanitizer = true;
#else
inline constexpr bool kWithThreadSanitizer = false;
#endif

// That a process has without having started any: ThreadSanitizer has one of its own.
inline constexpr std::size_t kRuntimeThreads = kWithThreadSanitizer ? 1 : 0;

}  // namespace leasepool::detail

#undef LEASEPOOL_HAS_FEATURE
