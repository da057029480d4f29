// What an acquire does while every pool is lent: it waits, waits for a time, or does not wait at all.
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <iostream>

using namespace std::chrono_literals;

// By default an acquire waits as long as it takes, first come, first served.
leasepool::Task<> patient(leasepool::LeasedExecutorManager& manager) {
  const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "patient"});
  std::cout << "patient: has a lease\n";
}

// With a timeout it gives up, never too early.
leasepool::Task<> hurried(leasepool::LeasedExecutorManager& manager) {
  try {
    const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "hurried", .timeout = 20ms});
    std::cout << "hurried: has a lease\n";
  } catch (const leasepool::LeasePoolError& error) {
    // error.what() names the limit and who holds the pools, and for how long.
    if (error.code() == leasepool::Errc::timed_out) std::cout << "hurried: timed out\n";
  }
}

// With wait = false it is told at once.
leasepool::Task<> impatient(leasepool::LeasedExecutorManager& manager) {
  try {
    const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "impatient", .wait = false});
    std::cout << "impatient: has a lease\n";
  } catch (const leasepool::LeasePoolError& error) {
    if (error.code() == leasepool::Errc::lease_unavailable) std::cout << "impatient: no pool is free\n";
  }
}

leasepool::Task<> app(leasepool::Loop& loop) {
  leasepool::LeasedExecutorManager manager(loop, {.max_pools = 1});
  co_await manager.start();
  leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "holder"});
  std::cout << "holder: has the only pool\n";

  co_await impatient(manager);
  co_await hurried(manager);

  loop.spawn(patient(manager));  // runs by itself, and waits
  while (manager.stats().waiters.empty()) co_await loop.sleep(1ms);
  std::cout << "holder: gives it back to who waits\n";
  lease.release();
  while (manager.available_count() == 0) co_await loop.sleep(1ms);

  co_await impatient(manager);  // now there is one
  co_await manager.stop();
}

int main() {
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
