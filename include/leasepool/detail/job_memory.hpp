// The memory of jobs: what one call gave back, the next one of the thread takes, so that calls in a steady flow
// allocate nothing.
#pragma once

#include <cstddef>

namespace leasepool::detail {

// Any thread; a block may be freed by another than took it. Aligned as operator new aligns. Throws std::bad_alloc.
void* allocate_job(std::size_t size);
void free_job(void* block, std::size_t size) noexcept;

// The same for what is made and freed as often as jobs are.
template <class T>
struct JobAllocator {
  using value_type = T;
  JobAllocator() = default;
  template <class U>
  explicit(false) JobAllocator(const JobAllocator<U>& /*other*/) noexcept {}
  T* allocate(std::size_t count) { return static_cast<T*>(allocate_job(count * sizeof(T))); }
  void deallocate(T* block, std::size_t count) noexcept { free_job(block, count * sizeof(T)); }
  friend bool operator==(const JobAllocator& /*left*/, const JobAllocator& /*right*/) noexcept { return true; }
};

}  // namespace leasepool::detail
