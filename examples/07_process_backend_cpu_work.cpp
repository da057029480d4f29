// CPU-heavy work on four worker processes at once. A worker that crashed would take no other call with it.
#include <leasepool/leasepool.hpp>

#include <cstdint>
#include <iostream>

// How many primes there are below `limit`, counted slowly.
std::uint64_t count_primes(std::uint64_t limit) {
  std::uint64_t count = 0;
  for (std::uint64_t candidate = 2; candidate < limit; ++candidate) {
    bool prime = true;
    for (std::uint64_t divisor = 2; prime && divisor * divisor <= candidate; ++divisor) {
      prime = candidate % divisor != 0;
    }
    if (prime) ++count;
  }
  return count;
}
// A worker is another process: it knows a function by its registration.
LEASEPOOL_REGISTER(count_primes);

leasepool::Task<> app(leasepool::Loop& loop) {
  leasepool::LeasedExecutorManager manager(
      loop, {.backend = leasepool::ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 4});
  co_await manager.start();
  {
    const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "cpu-primes"});
    // All four run at once; the results come in the order of the calls. The numbers become std::uint64_t, which is
    // what the function takes.
    const auto [a, b, c, d] =
        co_await leasepool::when_all(lease.run(count_primes, 20'000), lease.run(count_primes, 21'000),
                                     lease.run(count_primes, 22'000), lease.run(count_primes, 23'000));
    std::cout << a << ' ' << b << ' ' << c << ' ' << d << '\n';
  }
  co_await manager.stop();
}

int main() {
  leasepool::init();  // first, before there is any thread: workers are forked from the process as it is now
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
