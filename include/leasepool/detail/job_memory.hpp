// The memory of jobs: what one call gave back, the next one of the thread takes, so that calls in a steady flow
// allocate nothing.
#pragma once

#include <cstddef>
#include <new>

#include "leasepool/detail/export.hpp"

namespace leasepool::detail {

// Any thread; a block may be freed by another than took it. Aligned at least as operator new aligns. Throws
// std::bad_alloc.
LEASEPOOL_EXPORT void* allocate_job(std::size_t size);
LEASEPOOL_EXPORT void free_job(void* block, std::size_t size) noexcept;

// For objects of classes that derive from it.
struct InJobMemory {
  static void* operator new(std::size_t size) { return allocate_job(size); }
  static void operator delete(void* object, std::size_t size) noexcept { free_job(object, size); }
  // Of those that want more than the usual alignment, as for a call's arguments.
  static void* operator new(std::size_t size, std::align_val_t alignment) { return ::operator new(size, alignment); }
  static void operator delete(void* object, std::size_t size, std::align_val_t alignment) noexcept {
    ::operator delete(object, size, alignment);
  }
};

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
