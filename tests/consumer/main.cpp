// Leases worker processes and checks what they compute, as a program outside this repository would.
#include <leasepool/leasepool.hpp>

#include <cstdint>
#include <iostream>

std::uint64_t square(std::uint64_t x) { return x * x; }
LEASEPOOL_REGISTER(square);

namespace {

leasepool::Task<bool> app(leasepool::Loop& loop) {
  leasepool::LeasedExecutorManager manager(
      loop, {.backend = leasepool::ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 2});
  co_await manager.start();
  bool right = false;
  {
    auto lease = co_await manager.acquire({.owner = "consumer"});
    auto [nine, sixteen] = co_await leasepool::when_all(lease.run(square, 3), lease.run(square, 4));
    right = nine == 9 && sixteen == 16;
  }
  co_await manager.stop();
  co_return right;
}

}  // namespace

int main() {
  leasepool::init();
  leasepool::Loop loop;
  const bool right = loop.block_on(app(loop));
  std::cout << (right ? "consumer: right" : "consumer: wrong") << '\n';
  return right ? 0 : 1;
}
