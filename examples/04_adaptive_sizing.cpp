// The number of pools follows the work: a size_provider says how much there is, the manager sizes itself.
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <cstddef>
#include <iostream>

using namespace std::chrono_literals;

// Pools are made and shut down in the background.
leasepool::Task<> settle(leasepool::Loop& loop, leasepool::LeasedExecutorManager& manager, std::size_t pools) {
  while (manager.available_count() + manager.leased_count() != pools) co_await loop.sleep(1ms);
}

void print_counts(std::size_t jobs, const leasepool::LeasedExecutorManager& manager) {
  std::cout << jobs << " jobs: " << manager.total_count() << " pools, " << manager.leased_count() << " leased\n";
}

leasepool::Task<> app(leasepool::Loop& loop) {
  std::size_t jobs = 0;
  leasepool::ManagerOptions options;
  options.min_pools = 1;        // are kept when there is nothing to do
  options.max_pools = 4;        // however much there is to do
  options.units_per_pool = 10;  // one pool for each 10 jobs begun
  options.workers_per_pool = 1;
  options.size_provider = [&jobs] { return jobs; };
  leasepool::LeasedExecutorManager manager(loop, options);
  co_await manager.start();
  print_counts(jobs, manager);

  // The manager asks by itself every check_interval (120 s). Who knows that something has changed says so, from any
  // thread.
  jobs = 25;
  manager.notify_scale_changed();
  co_await settle(loop, manager, 3);
  print_counts(jobs, manager);

  jobs = 1000;
  manager.notify_scale_changed();
  co_await settle(loop, manager, 4);
  print_counts(jobs, manager);

  // Pools that are leased are never taken away: they go when they are released.
  leasepool::ExecutorLease first = co_await manager.acquire({.owner = "first"});
  leasepool::ExecutorLease second = co_await manager.acquire({.owner = "second"});
  jobs = 0;
  manager.notify_scale_changed();
  co_await settle(loop, manager, 2);
  print_counts(jobs, manager);
  first.release();
  print_counts(jobs, manager);
  second.release();
  print_counts(jobs, manager);

  co_await manager.stop();
}

int main() {
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
