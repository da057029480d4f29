// What a manager says about itself: who holds what, who waits, what runs, and what has been so far.
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <iostream>
#include <latch>
#include <sstream>
#include <string>

using namespace std::chrono_literals;

std::latch& finish() {
  static std::latch latch(1);
  return latch;
}

int blocks_until_told(int value) {
  finish().wait();
  return value;
}

leasepool::Task<> waits(leasepool::LeasedExecutorManager& manager) {
  const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "billing", .timeout = 1min});
}

// stats() is a plain struct, and cheap: a snapshot of now, taken on the loop's thread.
void print(const leasepool::ManagerStats& stats) {
  std::cout << stats.manager << ": " << stats.leased << " leased, " << stats.available << " available, " << stats.total
            << " of at most " << stats.max_pools << " pools\n";
  for (const leasepool::LeaseStats& lease : stats.leases) {  // each with its age and deadlines, too
    std::cout << "  " << lease.owner << ": " << lease.calls_running << " running, " << lease.calls_queued
              << " queued\n";
  }
  for (const leasepool::WaiterStats& waiter : stats.waiters) std::cout << "  " << waiter.owner << " waits\n";
  std::cout << "  so far: " << stats.acquired << " acquired, " << stats.calls_completed << " calls completed, "
            << stats.calls_failed << " failed\n";
}

// Those lines of a text that do not change from run to run.
void print_lines(const std::string& text, const std::string& begin) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(begin)) std::cout << line << '\n';
  }
}

leasepool::Task<> app(leasepool::Loop& loop) {
  leasepool::ManagerOptions options;
  options.max_pools = 1;
  options.workers_per_pool = 2;
  options.name_prefix = "reports";
  leasepool::LeasedExecutorManager manager(loop, options);
  co_await manager.start();
  leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "monthly"});

  int ended = 0;
  for (int i = 0; i < 3; ++i) {
    lease.run_async(blocks_until_told, i, [&ended](const leasepool::Result<int>& result) { ended += result ? 1 : 0; });
  }
  loop.spawn(waits(manager));
  while (manager.stats().waiters.empty() || manager.stats().leases.at(0).calls_running < 2) co_await loop.sleep(1ms);
  print(manager.stats());

  finish().count_down();
  while (ended < 3) co_await loop.sleep(1ms);
  lease.release();
  while (manager.available_count() == 0) co_await loop.sleep(1ms);
  print(manager.stats());

  // The same as a table for people, as JSON (to_json), and for Prometheus.
  print_lines(leasepool::to_text(manager.stats()), "  calls ");
  print_lines(leasepool::to_prometheus(manager.stats()), "leasepool_acquired_total");
  co_await manager.stop();
}

int main() {
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
