// What a call allocates once calls flow, counted by a replaced operator new. A program of its own for that.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "catch.hpp"
#include "leasepool/leasepool.hpp"

namespace {
std::atomic<std::size_t> allocations = 0;
}

void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }

namespace lp = leasepool;

namespace {

std::uint64_t square(std::uint64_t x) { return x * x; }

// Keeps so many calls under way until `left` have begun and all have ended.
class Flow {
 public:
  Flow(lp::Loop& loop, const lp::ExecutorLease& lease) : loop_(loop), lease_(lease) {}

  void run(std::size_t calls) {
    left_ = calls;
    for (int i = 0; i < 64; ++i) begin();
    loop_.run();
  }

 private:
  void begin() {
    if (left_ == 0) return;
    --left_;
    ++under_way_;
    lease_.run_async(square, left_, [this](lp::Result<std::uint64_t> result) {
      wrong += result.has_value() ? 0U : 1U;
      --under_way_;
      begin();
      if (left_ == 0 && under_way_ == 0) loop_.stop();
    });
  }

  lp::Loop& loop_;
  const lp::ExecutorLease& lease_;
  std::size_t left_ = 0;
  std::size_t under_way_ = 0;

 public:
  std::size_t wrong = 0;
};

lp::Task<lp::ExecutorLease> start_and_acquire(lp::LeasedExecutorManager& manager) {
  co_await manager.start();
  co_return co_await manager.acquire();
}

}  // namespace

TEST_CASE("a call on threads with a small function allocates nothing once calls flow", "[allocations]") {
  lp::Loop loop;
  lp::LeasedExecutorManager manager(loop, {.max_pools = 1, .workers_per_pool = 2});
  const lp::ExecutorLease lease = loop.block_on(start_and_acquire(manager));
  Flow flow(loop, lease);
  flow.run(10'000);  // what is kept is made

  const std::size_t before = allocations;
  flow.run(10'000);
  const std::size_t of_calls = allocations - before;
  CHECK(of_calls <= 2);  // Loop::stop() posts a function, and nothing else
  CHECK(flow.wrong == 0);
}
