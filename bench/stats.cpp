// What asking for stats costs the loop with many leases out, and what their texts cost whoever asks.
#include <benchmark/benchmark.h>

#include <leasepool/leasepool.hpp>
#include <vector>

#include "base/clock.hpp"
#include "lease/manager_core.hpp"
#include "sim/sim_pool.hpp"
#include "sim/sim_scheduler.hpp"

using leasepool::test::SimPool;
using leasepool::test::SimScheduler;
using leasepool::test::SimWorld;

namespace {

struct ManyLeases {
  explicit ManyLeases(std::size_t count) {
    leasepool::ManagerOptions options;
    options.max_pools = count;
    options.min_pools = count;
    manager = std::make_shared<leasepool::detail::ManagerCore>(
        scheduler, options, [this](const auto&) { return std::make_shared<SimPool>(*scheduler, world, 4); });
    manager->start([](const leasepool::Result<void>&) {});
    scheduler->run_until_idle();
    for (std::size_t i = 0; i < count; ++i) {
      (void)manager->acquire(
          {.owner = "owner " + std::to_string(i),
           .lease_duration = std::chrono::hours(1),
           .wait = true,
           .timeout = {},
           .where = {}},
          [this](leasepool::Result<leasepool::ExecutorLease> lease) { leases.push_back(std::move(*lease)); });
    }
    scheduler->run_until_idle();
  }
  ManyLeases(const ManyLeases&) = delete;
  ManyLeases& operator=(const ManyLeases&) = delete;
  ~ManyLeases() { manager->shut_down(); }

  SimWorld world;
  std::shared_ptr<SimScheduler> scheduler = std::make_shared<SimScheduler>();
  std::vector<leasepool::ExecutorLease> leases;
  std::shared_ptr<leasepool::detail::ManagerCore> manager;
};

void stats(benchmark::State& state) {
  const ManyLeases many(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(many.manager->stats());
}

using FormatManager = std::string (*)(const leasepool::ManagerStats&);

template <FormatManager Format>
void text_of(benchmark::State& state) {
  const ManyLeases many(static_cast<std::size_t>(state.range(0)));
  const leasepool::ManagerStats taken = many.manager->stats();
  for (auto _ : state) benchmark::DoNotOptimize(Format(taken));
}

BENCHMARK(stats)->Arg(1)->Arg(100)->Arg(1000)->Unit(benchmark::kMicrosecond);
BENCHMARK(text_of<leasepool::to_text>)->Arg(1000)->Unit(benchmark::kMicrosecond);
BENCHMARK(text_of<leasepool::to_json>)->Arg(1000)->Unit(benchmark::kMicrosecond);
BENCHMARK(text_of<leasepool::to_prometheus>)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
