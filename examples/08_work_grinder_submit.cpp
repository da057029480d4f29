// Twenty small jobs, two leases: the grinder collects what is submitted and runs it in batches of ten.
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <iostream>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int slow_square(int number) {
  std::this_thread::sleep_for(50ms);
  return number * number;
}

// Whoever submits an item awaits its own result and knows nothing of batches.
leasepool::Task<int> square_of(leasepool::WorkGrinder& grinder, int number) {
  co_return co_await grinder.submit(slow_square, number);
}

leasepool::Task<> app(leasepool::Loop& loop) {
  leasepool::LeasedExecutorManager manager(loop, {.max_pools = 1, .workers_per_pool = 4});
  // A batch goes when ten items wait, or when the first has waited for 200 ms.
  leasepool::WorkGrinder grinder(manager, {.batch_size_threshold = 10, .max_wait = 200ms});
  co_await manager.start();
  co_await grinder.start();

  std::vector<leasepool::Task<int>> tasks;
  tasks.reserve(20);
  for (int number = 0; number < 20; ++number) tasks.push_back(square_of(grinder, number));
  const std::vector<int> squares = co_await leasepool::when_all(std::move(tasks));
  for (const int square : squares) std::cout << (square == 0 ? "" : ", ") << square;
  std::cout << '\n';

  const leasepool::GrinderStats stats = grinder.stats();
  std::cout << stats.items_completed << " items in " << stats.batches_flushed << " batches\n";
  co_await grinder.stop();  // would run what is still queued; stop(true) would cancel it
  co_await manager.stop();
}

int main() {
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
