// Items that are queued now and awaited later, or taken back; and one that throws and spoils nobody else's result.
#include <leasepool/leasepool.hpp>

#include <iostream>
#include <stdexcept>
#include <string>

std::string greet(const std::string& name) {
  if (name.empty()) throw std::invalid_argument("nobody to greet");
  return "hello " + name;
}
LEASEPOOL_REGISTER(greet);

leasepool::Task<> app(leasepool::Loop& loop) {
  leasepool::LeasedExecutorManager manager(
      loop, {.backend = leasepool::ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 2});
  leasepool::WorkGrinder grinder(manager, {.batch_size_threshold = 3, .max_wait = std::chrono::seconds(1)});
  co_await manager.start();
  co_await grinder.start();

  auto ada = grinder.enqueue(greet, "Ada");
  auto bob = grinder.with({.owner = "bob's friend"}).enqueue(greet, "Bob");
  std::cout << grinder.stats().pending << " wait\n";
  bob.cancel();  // gone at once: it will not run, and does not count towards the threshold
  std::cout << grinder.stats().pending << " waits\n";

  auto nobody = grinder.enqueue(greet, "");
  auto eve = grinder.enqueue(greet, "Eve");  // the third that waits: the batch goes
  std::cout << co_await ada << '\n';
  std::cout << co_await eve << '\n';
  try {
    co_await nobody;
  } catch (const std::invalid_argument& error) {
    std::cout << error.what() << '\n';
  }
  try {
    co_await bob;
  } catch (const leasepool::LeasePoolError& error) {
    if (error.code() == leasepool::Errc::cancelled) std::cout << "Bob was taken back\n";
  }
  co_await grinder.stop();
  co_await manager.stop();
}

int main() {
  leasepool::init();
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
