// Calls from a thread that is not the loop's: submit() gives a std::future.
#include <leasepool/leasepool.hpp>

#include <future>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

int length_of(const std::string& word) {
  if (word.empty()) throw std::invalid_argument("an empty word");
  return static_cast<int>(word.size());
}

leasepool::Task<leasepool::ExecutorLease> begin(leasepool::LeasedExecutorManager& manager) {
  co_await manager.start();
  co_return co_await manager.acquire({.owner = "other thread"});
}

leasepool::Task<> end(leasepool::LeasedExecutorManager& manager) { co_await manager.stop(); }

// Runs in a thread of its own. Of a lease, only submit() and the destructor may be used here.
void count_letters(const leasepool::ExecutorLease& lease) {
  std::vector<std::future<int>> lengths;
  for (const char* const word : {"lease", "", "pool"}) lengths.push_back(lease.submit(length_of, word));
  for (std::future<int>& length : lengths) {
    try {
      std::cout << length.get() << '\n';  // waits here, which is fine in any thread but the loop's
    } catch (const std::invalid_argument& error) {
      std::cout << error.what() << '\n';
    }
  }
}

int main() {
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(loop, {.max_pools = 1});
  leasepool::ExecutorLease lease = loop.block_on(begin(manager));

  std::thread other([&] {
    count_letters(lease);
    loop.stop();  // any thread may
  });
  loop.run();  // brings the results; until somebody stops it
  other.join();

  lease.release();
  loop.block_on(end(manager));
}
