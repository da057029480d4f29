// Free blocks by size, of each thread its own.
#include "leasepool/detail/job_memory.hpp"

#include <array>
#include <new>

// What is used after it was freed, or never freed, is for the sanitizers to see.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LEASEPOOL_JOBS_ARE_KEPT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LEASEPOOL_JOBS_ARE_KEPT 0
#endif
#endif
#ifndef LEASEPOOL_JOBS_ARE_KEPT
#define LEASEPOOL_JOBS_ARE_KEPT 1
#endif

namespace leasepool::detail {

namespace {

constexpr std::size_t kStep = 64;
constexpr std::align_val_t kCacheLine{64};  // so that no two threads work in one line because of two jobs
constexpr std::size_t kLargest = 1024;
constexpr std::size_t kMostBytes = std::size_t{1} << 20;  // that a thread keeps of one size

constexpr bool is_kept(std::size_t size) noexcept { return LEASEPOOL_JOBS_ARE_KEPT != 0 && size <= kLargest; }

class FreeBlocks {
 public:
  FreeBlocks() = default;
  FreeBlocks(const FreeBlocks&) = delete;
  FreeBlocks& operator=(const FreeBlocks&) = delete;
  ~FreeBlocks();

  void* take(std::size_t step) noexcept {
    Block* const block = first_[step];
    if (block == nullptr) return nullptr;
    first_[step] = block->next;
    --count_[step];
    return block;
  }
  bool keep(void* memory, std::size_t step) noexcept {
    if (count_[step] >= kMostBytes / ((step + 1) * kStep)) return false;
    first_[step] = ::new (memory) Block{first_[step]};
    ++count_[step];
    return true;
  }

 private:
  struct Block {
    Block* next;
  };
  std::array<Block*, kLargest / kStep> first_{};
  std::array<std::size_t, kLargest / kStep> count_{};
};

// Null before the thread's first job and after its last static object's end.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): each thread has its own
constinit thread_local FreeBlocks* own_blocks = nullptr;

FreeBlocks::~FreeBlocks() {
  own_blocks = nullptr;
  for (Block* block : first_) {
    while (block != nullptr) {
      Block* const next = block->next;
      ::operator delete(block, kCacheLine);
      block = next;
    }
  }
}

void have_blocks() {
  thread_local FreeBlocks blocks;
  thread_local bool had = false;
  if (!had) own_blocks = &blocks;
  had = true;
}

}  // namespace

void* allocate_job(std::size_t size) {
  if (!is_kept(size)) return ::operator new(size);
  if (own_blocks == nullptr) have_blocks();
  const std::size_t step = (size - 1) / kStep;
  void* const kept = own_blocks == nullptr ? nullptr : own_blocks->take(step);
  return kept != nullptr ? kept : ::operator new((step + 1) * kStep, kCacheLine);
}

void free_job(void* block, std::size_t size) noexcept {
  if (!is_kept(size)) return ::operator delete(block);
  if (own_blocks != nullptr && own_blocks->keep(block, (size - 1) / kStep)) return;
  ::operator delete(block, kCacheLine);
}

}  // namespace leasepool::detail
