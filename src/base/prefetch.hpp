// Having the processor load memory that another one has written, before it is needed.
#pragma once

#include <cstddef>

namespace leasepool::detail {

// Of an element that goes from thread to thread, what both of them write: its first cache line, and the one behind what
// the library notes of it, where a job has its function and its result. A hint: any address will do, of what is gone,
// too.
inline void prefetch_element(const void* element) noexcept {
  if (element == nullptr) return;
  constexpr std::size_t kCacheLine = 64;
  const auto* const bytes = static_cast<const std::byte*>(element);
  __builtin_prefetch(bytes, 1);
  __builtin_prefetch(bytes + 3 * kCacheLine, 1);
}

}  // namespace leasepool::detail
