// The memory of jobs: blocks that do not overlap, taken by one thread and freed by another, and given back to the
// system.
#include "leasepool/detail/job_memory.hpp"

#include <malloc.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/job.hpp"
#include "support/sanitized.hpp"
#include "support/skip.hpp"

using leasepool::detail::allocate_job;
using leasepool::detail::free_job;

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20U;

struct Block {
  std::byte* memory;
  std::size_t size;
};

Block take(std::size_t size, int value) {
  auto* const memory = static_cast<std::byte*>(allocate_job(size));
  std::memset(memory, value, size);
  return {memory, size};
}

// Gives whether the block still holds what was written to it.
bool free_checked(const Block& block, int value) {
  bool whole = true;
  for (std::size_t i = 0; i < block.size; ++i) whole = whole && block.memory[i] == static_cast<std::byte>(value);
  free_job(block.memory, block.size);
  return whole;
}

// Bytes of the heap that are in use.
std::size_t in_use() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

}  // namespace

// With a small argument, result and callback a call fits 256 bytes then, of which a million may be queued.
static_assert(sizeof(leasepool::detail::Job) <= 176);

TEST_CASE("blocks of jobs do not overlap, whatever their sizes", "[job_memory]") {
  std::minstd_rand random(7);
  std::vector<std::pair<Block, int>> blocks;
  bool whole = true;
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 3 != 0 || blocks.empty()) {
      const int value = static_cast<int>(random() % 256);
      blocks.emplace_back(take(1 + random() % 1500, value), value);
    } else {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      whole = free_checked(blocks.back().first, blocks.back().second) && whole;
      blocks.pop_back();
    }
  }
  for (const auto& [block, value] : blocks) whole = free_checked(block, value) && whole;
  CHECK(whole);
}

TEST_CASE("blocks of jobs are freed by other threads than took them, also after those have ended", "[job_memory]") {
  bool whole = true;
  for (int round = 0; round < 20; ++round) {
    std::vector<Block> first;
    std::vector<Block> second;
    std::thread([&] {
      for (int i = 0; i < 1000; ++i) first.push_back(take(250, 1));
    }).join();
    std::thread taker([&] {
      for (int i = 0; i < 1000; ++i) second.push_back(take(250, 2));
    });
    for (const Block& block : first) whole = free_checked(block, 1) && whole;
    taker.join();
    std::thread([&] {
      for (const Block& block : second) whole = free_checked(block, 2) && whole;
    }).join();
  }
  CHECK(whole);
}

TEST_CASE("the memory of many jobs goes back to the system when they have ended", "[job_memory]") {
  if (leasepool::test::kSanitized) return leasepool::test::skip("a sanitizer's allocator counts otherwise");
  const std::size_t before = in_use();
  std::vector<Block> blocks;
  constexpr std::size_t kBlocks = 100'000;
  blocks.reserve(kBlocks);
  for (std::size_t i = 0; i < kBlocks; ++i) blocks.push_back(take(256, 3));
  const std::size_t most = in_use();
  CHECK(most - before < kBlocks * (256 + sizeof(Block)) + kMiB);  // nothing beside each
  for (const Block& block : blocks) free_job(block.memory, block.size);
  blocks = std::vector<Block>();
  CHECK(in_use() < before + 2 * kMiB);  // a thread keeps one

  // And a thread that ends keeps none.
  const std::size_t kept = in_use();
  std::thread([] {
    std::vector<Block> of_thread;
    for (std::size_t size = 1; size < 1024; size += 50) of_thread.push_back(take(size, 4));
    for (const Block& block : of_thread) free_job(block.memory, block.size);
  }).join();
  CHECK(in_use() < kept + kMiB / 16);
}

TEST_CASE("threads that come and go leave nothing where their blocks are freed", "[job_memory]") {
  if (leasepool::test::kSanitized) return leasepool::test::skip("a sanitizer's allocator counts otherwise");
  const auto pass_blocks_on = [](int threads) {
    for (int i = 0; i < threads; ++i) {
      std::vector<Block> blocks;
      std::thread([&] {
        for (std::size_t size = 64; size <= 1024; size += 64) blocks.push_back(take(size, 5));
      }).join();
      for (const Block& block : blocks) free_job(block.memory, block.size);
    }
  };
  free_job(take(64, 5).memory, 64);  // this thread keeps blocks, too
  pass_blocks_on(1);
  const std::size_t before = in_use();
  pass_blocks_on(100);
  CHECK(in_use() < before + kMiB);
}
