// A manager on simulated pools and a virtual clock.
#pragma once

#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "lease/manager_core.hpp"
#include "sim/sim_pool.hpp"
#include "sim/sim_scheduler.hpp"

namespace leasepool::test {

struct Stage {
  explicit Stage(ManagerOptions options) {
    options.name_prefix = "stage";
    options.log = [this](const LogRecord& record) { log.emplace_back(record.text); };
    const std::size_t workers = options.workers_per_pool;
    manager = std::make_shared<detail::ManagerCore>(scheduler, std::move(options), [this, workers](const auto&) {
      auto pool = std::make_shared<SimPool>(*scheduler, world, workers);
      world.pools.push_back(pool);
      return pool;
    });
    manager->start([](const Result<void>&) {});
    scheduler->run_until_idle();
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() { manager->shut_down(); }

  void acquire(const std::string& owner, Duration duration, std::optional<Duration> timeout = {}, bool wait = true) {
    (void)manager->acquire({.owner = owner,
                            .lease_duration = duration,
                            .wait = wait,
                            .timeout = timeout,
                            .where = std::source_location::current()},
                           [this](Result<ExecutorLease> lease) {
                             lease ? leases.push_back(std::move(*lease)) : refusals.push_back(lease.error().message());
                           });
    scheduler->run_until_idle();
  }

  SimWorld world;
  std::shared_ptr<SimScheduler> scheduler = std::make_shared<SimScheduler>();
  std::vector<std::string> log;
  std::vector<std::string> refusals;
  std::vector<ExecutorLease> leases;
  std::shared_ptr<detail::ManagerCore> manager;
};

}  // namespace leasepool::test
