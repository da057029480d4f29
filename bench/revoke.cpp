// What it costs the manager that a lease expires, with others out: its soft expiry, and its revocation with a call
// running, the pool retired and another one made. Pools and time are simulated.
#include <benchmark/benchmark.h>

#include <leasepool/leasepool.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "lease/manager_core.hpp"
#include "leasepool/detail/bound_job.hpp"
#include "sim/sim_pool.hpp"
#include "sim/sim_scheduler.hpp"

using leasepool::ExecutorLease;
using leasepool::Result;
using leasepool::test::SimPool;
using leasepool::test::SimScheduler;
using leasepool::test::SimWorld;
using namespace std::chrono_literals;

namespace {

// A manager all of whose pools but one are lent for long.
class Manager {
 public:
  explicit Manager(std::size_t others) {
    world_.next_run_time = [] { return leasepool::Duration(1h); };
    leasepool::ManagerOptions options;
    options.max_pools = others + 1;
    options.min_pools = others + 1;
    options.lease_grace = 1s;
    options.log = [](const leasepool::LogRecord&) {};
    core_ = std::make_shared<leasepool::detail::ManagerCore>(
        scheduler_, options, [this](const auto&) { return std::make_shared<SimPool>(*scheduler_, world_, 1); });
    core_->start([](const Result<void>&) {});
    scheduler_->run_until_idle();
    for (std::size_t i = 0; i < others; ++i) others_.push_back(acquire(24h * 365));
  }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  ~Manager() { core_->shut_down(); }

  ExecutorLease acquire(leasepool::Duration duration) {
    ExecutorLease got;
    (void)core_->acquire({.owner = "bench", .lease_duration = duration, .wait = true, .timeout = {}, .where = {}},
                         [&](Result<ExecutorLease> lease) { got = std::move(*lease); });
    scheduler_->run_until_idle();
    return got;
  }
  void advance(leasepool::Duration by) { scheduler_->advance(by); }

 private:
  SimWorld world_;
  std::shared_ptr<SimScheduler> scheduler_ = std::make_shared<SimScheduler>();
  std::shared_ptr<leasepool::detail::ManagerCore> core_;
  std::vector<ExecutorLease> others_;
};

// Beginning to end: acquire, a call, soft expiry, hard expiry.
void expire(benchmark::State& state) {
  Manager manager(static_cast<std::size_t>(state.range(0)));
  std::size_t told = 0;
  for (auto _ : state) {
    const ExecutorLease lease = manager.acquire(1s);
    lease.run_async([] {},
                    [&](const Result<void>& result) {
                      if (!result) ++told;
                    });
    manager.advance(1s);
    manager.advance(1s);
  }
  if (told != static_cast<std::size_t>(state.iterations())) state.SkipWithError("a call did not end by its expiry");
}

BENCHMARK(expire)->Arg(0)->Arg(100)->Arg(10'000);

}  // namespace

BENCHMARK_MAIN();
