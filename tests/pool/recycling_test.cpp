// Workers that have served their time are replaced between calls: no call is lost, and one of a pool goes at a time.
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/manager.hpp"
#include "support/with_manager.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::TestPool;

namespace recycling_cases {

// Keeps so much memory for as long as the process lives.
void keep(std::uint64_t bytes) {
  static std::vector<std::vector<char>> kept;
  kept.emplace_back(bytes, 'x');
}

}  // namespace recycling_cases

LEASEPOOL_REGISTER(recycling_cases::keep);

namespace {

constexpr std::uint64_t kRecyclings = 12;
constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;

pid_t worker_of(TestPool& pool) { return pool.result_of(pool_functions::process_id).value(); }

}  // namespace

TEST_CASE("a manager replaces workers after max_calls_per_worker", "[recycling][W9]") {
  Loop loop;
  const ManagerOptions options{
      .backend = ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 1, .max_calls_per_worker = 3};
  loop.block_on(test::with_manager(loop, options, [](LeasedExecutorManager& manager) -> Task<> {
    {
      auto lease = co_await manager.acquire();
      std::vector<pid_t> workers;
      for (int i = 0; i < 9; ++i) workers.push_back(co_await lease.run(pool_functions::process_id));
      for (std::size_t i = 0; i < workers.size(); ++i) CHECK((workers[i] == workers[i / 3 * 3]));
      CHECK(std::set(workers.begin(), workers.end()).size() == 3);
    }
    CHECK(manager.stats().workers_recycled == 3);
    CHECK(manager.stats().workers_crashed == 0);
  }));
}

TEST_CASE("workers draw the number of calls after which they are replaced", "[recycling][W9]") {
  constexpr std::size_t kMax = 100;
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(1);
  options.max_calls_per_worker = kMax;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  std::map<pid_t, std::size_t> calls_of;
  while (pool.totals->workers_recycled < 8) ++calls_of[worker_of(pool)];
  std::set<std::size_t> points;
  for (const auto& [worker, calls] : calls_of) {
    CHECK(calls >= kMax / 10 * 9);
    CHECK(calls <= kMax);
    points.insert(calls);
  }
  CHECK(points.size() > 1);
}

TEST_CASE("recycling loses no call and takes one worker of a pool at a time", "[recycling][W9]") {
  pool_functions::reset_shared();
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(4);
  options.max_calls_per_worker = 20;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  std::vector<std::shared_ptr<test::Call<std::uint32_t>>> calls;
  bool one_at_a_time = true;
  // While one worker is replaced, the others may serve any number of calls: it takes what it takes.
  CHECK(pool.wait([&] {
    const std::size_t ended = pool.sink->ended.size();
    while (pool.totals->workers_recycled < kRecyclings && calls.size() < ended + 16 &&
           calls.size() < std::size(pool_functions::shared().runs)) {
      calls.push_back(pool.call(pool_functions::count_run, static_cast<std::uint32_t>(calls.size()), 0));
    }
    one_at_a_time = one_at_a_time && pool.totals->workers_recycled <= pool.totals->workers_started - 4 + 1;
    return ended == calls.size();
  }));
  CHECK(one_at_a_time);
  CHECK(pool.totals->workers_recycled >= kRecyclings);
  for (std::uint32_t i = 0; i < calls.size(); ++i) {
    CHECK(calls[i]->succeeded());
    CHECK(pool_functions::shared().runs[i] == 1);
  }
  CHECK(pool.totals->workers_crashed == 0);
}

TEST_CASE("a worker over max_worker_rss is replaced when its call has ended", "[recycling][W9]") {
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(1);
  options.max_worker_rss = 512 * kMebibyte;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  const pid_t first = worker_of(pool);
  CHECK(pool.result_of(recycling_cases::keep, 8 * kMebibyte).has_value());
  CHECK(worker_of(pool) == first);
  CHECK(pool.result_of(recycling_cases::keep, 600 * kMebibyte).has_value());
  CHECK(worker_of(pool) != first);
  CHECK(pool.totals->workers_recycled == 1);
}

TEST_CASE("a worker over max_worker_age is replaced when its call has ended", "[recycling][W9]") {
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(1);
  options.max_worker_age = 1ns;
  TestPool pool(loop, ExecutorBackend::process, options);
  REQUIRE(pool.start().has_value());
  const pid_t first = worker_of(pool);
  CHECK(worker_of(pool) != first);
  CHECK(pool.totals->workers_recycled == 2);
  options.max_worker_age = 1h;
  TestPool lasting(loop, ExecutorBackend::process, options);
  REQUIRE(lasting.start().has_value());
  CHECK(worker_of(lasting) == worker_of(lasting));
}
