// Acquire plus release without contention: through both verbs on a real loop, a turn of which each acquire needs, and
// the manager's own part on simulated pools and time.
#include <benchmark/benchmark.h>

#include <leasepool/leasepool.hpp>
#include <memory>

#include "lease/manager_core.hpp"
#include "sim/sim_pool.hpp"
#include "sim/sim_scheduler.hpp"

using leasepool::ExecutorLease;
using leasepool::Result;
using leasepool::test::SimPool;
using leasepool::test::SimScheduler;
using leasepool::test::SimWorld;

namespace {

leasepool::ManagerOptions one_pool() {
  leasepool::ManagerOptions options;
  options.max_pools = 1;
  options.workers_per_pool = 2;
  return options;
}

void with_callback(benchmark::State& state) {
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(loop, one_pool());
  const auto start = [&]() -> leasepool::Task<> { co_await manager.start(); };
  loop.block_on(start());
  // Each lease that is given back asks for the next.
  struct Chain {
    benchmark::State& state;
    leasepool::Loop& loop;
    leasepool::LeasedExecutorManager& manager;
    void next() {
      if (!state.KeepRunning()) return loop.stop();
      manager.acquire_async({.owner = "bench"}, [this](Result<ExecutorLease> lease) {
        lease->release();
        next();
      });
    }
  };
  Chain chain{.state = state, .loop = loop, .manager = manager};
  chain.next();
  loop.run();
}

void with_coroutine(benchmark::State& state) {
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(loop, one_pool());
  const auto body = [&]() -> leasepool::Task<> {
    co_await manager.start();
    for (auto _ : state) {
      const ExecutorLease lease = co_await manager.acquire({.owner = "bench"});
      benchmark::DoNotOptimize(lease.active());
    }
    co_await manager.stop();
  };
  loop.block_on(body());
}

void manager_alone(benchmark::State& state) {
  SimWorld world;
  const auto scheduler = std::make_shared<SimScheduler>();
  const auto manager = std::make_shared<leasepool::detail::ManagerCore>(
      scheduler, one_pool(), [&](const auto&) { return std::make_shared<SimPool>(*scheduler, world, 2); });
  manager->start([](const Result<void>&) {});
  scheduler->run_until_idle();
  for (auto _ : state) {
    (void)manager->acquire(
        {.owner = "bench", .lease_duration = std::chrono::hours(1), .wait = true, .timeout = {}, .where = {}},
        [](const Result<ExecutorLease>&) {});
    scheduler->run_until_idle();
  }
  manager->shut_down();
}

BENCHMARK(with_callback)->UseRealTime();
BENCHMARK(with_coroutine)->UseRealTime();
BENCHMARK(manager_alone);

}  // namespace

BENCHMARK_MAIN();
