// A lease that is held for too long is reported, and then revoked by itself: no capacity is lost to who forgets it.
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <iostream>
#include <string_view>

using namespace std::chrono_literals;

int answer() { return 42; }

leasepool::Task<> app(leasepool::Loop& loop) {
  int reports = 0;
  leasepool::ManagerOptions options;
  options.max_pools = 1;
  options.default_lease_duration = 20ms;  // soft expiry: the log says who holds it, how long, and where it was acquired
  options.lease_grace = 500ms;            // from there to hard expiry: it is revoked
  options.log = [&reports](const leasepool::LogRecord& record) {
    ++reports;
    std::cout << "log: " << record.text.substr(0, record.text.find_first_of(",;")) << '\n';
  };
  leasepool::LeasedExecutorManager manager(loop, options);
  co_await manager.start();

  // Who needs longer says so, best before the soft expiry. It moves both deadlines.
  leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "slow but honest"});
  while (reports == 0) co_await loop.sleep(1ms);
  lease.extend(1h);
  const int result = co_await lease.run(answer);
  std::cout << "extended, and still good: " << result << '\n';
  lease.release();

  // Who forgets it loses it, and the next in line gets a pool in its place without anybody releasing anything.
  const leasepool::ExecutorLease forgotten = co_await manager.acquire({.owner = "forgetful"});
  const leasepool::ExecutorLease next = co_await manager.acquire({.owner = "next", .lease_duration = 1h});
  std::cout << "next: has a lease\n";
  try {
    co_await forgotten.run(answer);
  } catch (const leasepool::LeasePoolError& error) {
    if (error.code() == leasepool::Errc::lease_expired) std::cout << "forgetful: the lease is over\n";
  }
  co_await manager.stop();
}

int main() {
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
