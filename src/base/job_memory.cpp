// Free blocks by size, of each thread its own, cut from slabs that all share.
#include "leasepool/detail/job_memory.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <new>

#include "base/sanitizers.hpp"

namespace leasepool::detail {

namespace {

constexpr std::size_t kStep = 64;  // a cache line, so that no two threads work in one because of two jobs
constexpr std::size_t kMaxKept = 1024;
constexpr std::size_t kMaxBytes = std::size_t{1} << 20;  // that a thread keeps of one size
// Twice that is still less than what the C library maps each time, with as much again for the alignment.
constexpr std::size_t kSlabSize = std::size_t{32} << 10;
constexpr std::align_val_t kSlabAlignment{kSlabSize};

// What is used after it was freed, or never freed, is for the sanitizers to see.
constexpr bool kKeepsJobs = !kWithAddressSanitizer && !kWithThreadSanitizer;
constexpr bool is_kept(std::size_t size) noexcept { return kKeepsJobs && size <= kMaxKept; }

// Memory of many blocks of one size, with nothing beside each: a million jobs are queued in as much as they are. It
// starts at a multiple of kSlabSize, and is freed with the last of its blocks.
struct alignas(kStep) Slab {
  Slab(std::uint32_t blocks, std::uint64_t thread) noexcept : held(blocks), owner(thread) {}
  std::atomic<std::uint32_t> held;  // blocks in use, in its owner's list, or still to be cut
  const std::uint64_t owner;        // the thread that cuts it
};

// The C library's own bookkeeping goes into what is left of kSlabSize, so that slabs lie side by side.
constexpr std::size_t kSlabBytes = kSlabSize - kStep;

constexpr std::uint32_t blocks_in_slab(std::size_t block_size) noexcept {
  return static_cast<std::uint32_t>((kSlabBytes - sizeof(Slab)) / block_size);
}

std::byte* make_slab(std::uint32_t blocks, std::uint64_t owner) {
  void* const memory = ::operator new(kSlabBytes, kSlabAlignment);
  ::new (memory) Slab(blocks, owner);
  return static_cast<std::byte*>(memory) + sizeof(Slab);
}

Slab& slab_of(void* block) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(block);
  return *reinterpret_cast<Slab*>(static_cast<std::byte*>(block) - address % kSlabSize);
}

void release_blocks(void* block, std::uint32_t blocks = 1) noexcept {
  Slab& slab = slab_of(block);
  if (slab.held.fetch_sub(blocks, std::memory_order_acq_rel) == blocks) ::operator delete(&slab, kSlabAlignment);
}

// Of one thread and one size.
class FreeBlocks {
 public:
  void* take(std::size_t size, std::uint64_t owner) {
    if (Block* const block = first_; block != nullptr) {
      first_ = block->next;
      --count_;
      return block;
    }
    if (uncut_ == 0) {
      const std::uint32_t blocks = blocks_in_slab(size);
      rest_ = make_slab(blocks, owner);
      uncut_ = blocks;
    }
    void* const block = rest_;
    rest_ += --uncut_ == 0 ? 0 : size;  // not past its end, which may be the next slab's begin
    return block;
  }
  bool keep(void* memory, std::size_t size) noexcept {
    if (count_ >= kMaxBytes / size) return false;
    first_ = ::new (memory) Block{first_};
    ++count_;
    return true;
  }
  void release_all_blocks() noexcept {
    while (Block* const block = first_) {
      first_ = block->next;
      release_blocks(block);
    }
    if (uncut_ != 0) release_blocks(rest_, uncut_);
  }

 private:
  struct Block {
    Block* next;
  };
  Block* first_ = nullptr;
  std::size_t count_ = 0;
  std::byte* rest_ = nullptr;  // of the slab that blocks are cut from
  std::uint32_t uncut_ = 0;
};

constexpr std::uint64_t kNoThread = 0;

std::uint64_t next_thread() noexcept {
  static std::atomic<std::uint64_t> last = kNoThread;
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

struct BlocksBySize {
  BlocksBySize() = default;
  BlocksBySize(const BlocksBySize&) = delete;
  BlocksBySize& operator=(const BlocksBySize&) = delete;
  ~BlocksBySize();
  const std::uint64_t owner = next_thread();  // the address may be a later thread's, too
  std::array<FreeBlocks, kMaxKept / kStep> of_steps;
};

// Null before the thread's first job and after its last static object's end.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): each thread has its own
constinit thread_local BlocksBySize* own_blocks = nullptr;

BlocksBySize::~BlocksBySize() {
  own_blocks = nullptr;
  for (FreeBlocks& blocks : of_steps) blocks.release_all_blocks();
}

void have_blocks() {
  thread_local BlocksBySize blocks;
  thread_local bool had = false;
  if (!had) own_blocks = &blocks;
  had = true;
}

}  // namespace

void* allocate_job(std::size_t size) {
  if (!is_kept(size)) return ::operator new(size);
  if (own_blocks == nullptr) have_blocks();
  const std::size_t step = (size - 1) / kStep;
  if (own_blocks == nullptr) return make_slab(1, kNoThread);
  return own_blocks->of_steps[step].take((step + 1) * kStep, own_blocks->owner);
}

void free_job(void* block, std::size_t size) noexcept {
  if (!is_kept(size)) return ::operator delete(block);
  const std::size_t step = (size - 1) / kStep;
  // A thread keeps what it cut itself. One block of another's slab in its list would hold that whole slab, for as long
  // as the thread lives: a slab for each thread that ever was.
  const bool own = own_blocks != nullptr && slab_of(block).owner == own_blocks->owner;
  if (own && own_blocks->of_steps[step].keep(block, (step + 1) * kStep)) return;
  release_blocks(block);
}

}  // namespace leasepool::detail
