// The global operators new and delete, which count.
#include "allocations.hpp"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<bool> counting = false;
std::atomic<std::int64_t> live_bytes = 0;

// glibc keeps a word before each block.
std::int64_t size_of(void* block) { return static_cast<std::int64_t>(::malloc_usable_size(block) + sizeof(void*)); }

void* counted(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  if (counting.load(std::memory_order_relaxed)) live_bytes.fetch_add(size_of(block), std::memory_order_relaxed);
  return block;
}

void give_back(void* block) noexcept {
  if (block != nullptr && counting.load(std::memory_order_relaxed)) {
    live_bytes.fetch_sub(size_of(block), std::memory_order_relaxed);
  }
  std::free(block);
}

}  // namespace

namespace figures {

void count_allocations(bool on) { counting = on; }
std::int64_t allocated_bytes() { return live_bytes; }

}  // namespace figures

void* operator new(std::size_t size) { return counted(std::malloc(size)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto align = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(align, (size + align - 1) / align * align));
}
void operator delete(void* block) noexcept { give_back(block); }
void operator delete(void* block, std::size_t /*size*/) noexcept { give_back(block); }
void operator delete(void* block, std::align_val_t /*alignment*/) noexcept { give_back(block); }
void operator delete(void* block, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept { give_back(block); }
