// A lease can be given back before its scope ends: whoever waits for a pool gets it then, not later.
#include <leasepool/leasepool.hpp>

#include <iostream>

int twice(int number) { return 2 * number; }

// Waits until a pool is free, and uses it.
leasepool::Task<> second_in_line(leasepool::LeasedExecutorManager& manager) {
  const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "second"});
  const int answer = co_await lease.run(twice, 21);
  std::cout << "second: twice 21 is " << answer << '\n';
}

leasepool::Task<> first_in_line(leasepool::LeasedExecutorManager& manager) {
  leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "first"});
  const int answer = co_await lease.run(twice, 4);
  std::cout << "first: twice 4 is " << answer << '\n';

  lease.release();
  lease.release();  // does nothing more
  std::cout << "first: released\n";

  // What comes after that fails, with a code that says why.
  try {
    co_await lease.run(twice, 5);
  } catch (const leasepool::LeasePoolError& error) {
    if (error.code() == leasepool::Errc::lease_expired) std::cout << "first: this lease is over\n";
  }
}

leasepool::Task<> app(leasepool::Loop& loop) {
  leasepool::LeasedExecutorManager manager(loop, {.max_pools = 1});
  co_await manager.start();
  co_await leasepool::when_all(first_in_line(manager), second_in_line(manager));
  co_await manager.stop();
}

int main() {
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
