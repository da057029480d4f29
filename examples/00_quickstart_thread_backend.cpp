// A function that blocks, run on a thread of a pool while the loop stays free.
#include <leasepool/leasepool.hpp>

#include <cctype>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>

// Blocks for 0.2 s, as a slow library or a slow disk would. It knows nothing of leasepool.
std::string uppercase(std::string text) {
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

leasepool::Task<> app(leasepool::Loop& loop) {
  // At most one pool, of the default four threads.
  leasepool::LeasedExecutorManager manager(loop, {.max_pools = 1});
  co_await manager.start();
  {
    // Borrow the pool; `owner` is the name by which errors and stats call the borrower.
    const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "quickstart"});

    // Run the function there. This coroutine waits, and the loop does not: it could run others meanwhile.
    const std::string loud = co_await lease.run(uppercase, "hello leasepool");
    std::cout << loud << '\n';
  }  // The lease ends here, and the pool is free again.
  co_await manager.stop();
}

int main() {
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
