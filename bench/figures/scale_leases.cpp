// Waiters and leases: what one costs with many others.
#include <cstdlib>

#include "lease/manager_core.hpp"
#include "manager.hpp"
#include "scale.hpp"
#include "sim/sim_pool.hpp"
#include "sim/sim_scheduler.hpp"

using leasepool::ExecutorBackend;
using leasepool::ExecutorLease;
using leasepool::Result;
using namespace std::chrono_literals;

namespace figures {

namespace {

void measure_waiters(std::size_t count, std::size_t passes, Costs& costs) {
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(loop, manager_options(ExecutorBackend::thread, 1, 2));
  start(loop, manager);
  std::size_t left = 0;
  const auto answered = [&](const Result<ExecutorLease>&) {
    if (--left == 0) loop.stop();
  };  // drops the lease, which the next waiter gets
  for (std::size_t pass = 0; pass <= passes; ++pass) {
    costs.begin_pass(pass);
    ExecutorLease held = acquire(loop, manager);
    left = count;
    Stopwatch clock(Clock::cpu);
    for (std::size_t i = 0; i < count; ++i) manager.acquire_async({.owner = "waiter"}, answered);
    costs.add("wait", clock.lap(count));
    held.release();
    loop.run();
    costs.add("get a lease and release it", clock.lap(count));

    held = acquire(loop, manager);
    left = count;
    clock = Stopwatch(Clock::cpu);
    for (std::size_t i = 0; i < count; ++i) manager.acquire_async({.owner = "waiter", .timeout = 1ns}, answered);
    costs.add("wait with a timeout", clock.lap(count));
    loop.run();
    costs.add("time out", clock.lap(count));
  }
}

void measure_leases(std::size_t count, std::size_t passes, Costs& costs) {
  leasepool::Loop loop;
  leasepool::ManagerOptions settings = manager_options(ExecutorBackend::thread, count, 1);
  settings.lease_grace = 1h;
  leasepool::LeasedExecutorManager manager(loop, settings);
  start(loop, manager);
  std::vector<ExecutorLease> leases;
  leases.reserve(count);
  const auto granted = [&](Result<ExecutorLease> lease) {
    leases.push_back(std::move(*lease));
    if (leases.size() == count) loop.stop();
  };
  for (std::size_t pass = 0; pass <= passes; ++pass) {
    costs.begin_pass(pass);
    leases.clear();
    Stopwatch clock(Clock::cpu);
    for (std::size_t i = 0; i < count; ++i) manager.acquire_async({.owner = "holder"}, granted);
    loop.run();
    costs.add("acquire", clock.lap(count));
    for (std::size_t i = 0; i < count; ++i) leases[i * 7919 % count].extend(1min + std::chrono::microseconds(i));
    costs.add("extend", clock.lap(count));
    for (ExecutorLease& lease : leases) lease.extend(1ns);
    (void)clock.lap(count);
    const leasepool::Timer after_all = loop.call_after(1ms, [&] { loop.stop(); });
    loop.run();
    costs.add("pass the soft expiry", clock.lap(count));
    if (manager.stats().leases_expired != (pass + 1) * count) std::abort();
    for (ExecutorLease& lease : leases) lease.release();
    costs.add("release", clock.lap(count));
  }
}

// The manager alone: with real pools this would be the cost of starting threads.
void measure_revocation(std::size_t count, std::size_t passes, Costs& costs) {
  leasepool::test::SimWorld world;
  const auto scheduler = std::make_shared<leasepool::test::SimScheduler>();
  leasepool::ManagerOptions settings = manager_options(ExecutorBackend::process, count, 1);
  settings.lease_grace = 0s;
  const auto manager = std::make_shared<leasepool::detail::ManagerCore>(scheduler, settings, [&](const auto&) {
    return std::make_shared<leasepool::test::SimPool>(*scheduler, world, 1);
  });
  for (std::size_t pass = 0; pass <= passes; ++pass) {
    costs.begin_pass(pass);
    Stopwatch clock(Clock::cpu);
    manager->start([](const Result<void>&) {});
    scheduler->run_until_idle();
    costs.add("start a pool", clock.lap(count));
    std::vector<ExecutorLease> leases;
    for (std::size_t i = 0; i < count; ++i) {
      (void)manager->acquire({.owner = "holder", .lease_duration = 1s, .wait = true, .timeout = {}, .where = {}},
                             [&](Result<ExecutorLease> lease) { leases.push_back(std::move(*lease)); });
    }
    scheduler->run_until_idle();
    if (leases.size() != count) std::abort();
    clock = Stopwatch(Clock::cpu);
    scheduler->advance(1s);
    costs.add("be revoked", clock.lap(count));
    leases.clear();
    bool stopped = false;
    clock = Stopwatch(Clock::cpu);
    manager->stop([&](const Result<void>&) { stopped = true; });
    scheduler->run_until_idle();
    costs.add("stop a pool", clock.lap(count));
    if (!stopped) std::abort();
  }
  manager->shut_down();
}

}  // namespace

void scale_waiters(const Options& options, Report& report) {
  const std::size_t waiters = options.count("waiters");
  compare_sizes(
      options, report,
      {.name = "acquire", .unit = "waiters", .small = waiters / 100, .large = waiters, .measure = measure_waiters});
}

void scale_leases(const Options& options, Report& report) {
  const std::size_t leases = options.count("leases");
  compare_sizes(options, report,
                {.name = "lease", .unit = "leases", .small = leases / 100, .large = leases, .measure = measure_leases});
  compare_sizes(options, report,
                {.name = "lease on a simulated pool",
                 .unit = "leases",
                 .small = leases / 100,
                 .large = leases,
                 .measure = measure_revocation});
}

}  // namespace figures
