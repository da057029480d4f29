// A walk through everything: the same steps on threads and on worker processes.
#include <leasepool/leasepool.hpp>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <future>
#include <iostream>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

using namespace std::chrono_literals;
using leasepool::ExecutorBackend;
using leasepool::ExecutorLease;
using leasepool::LeasedExecutorManager;

std::uint64_t sum_to(std::uint64_t n) { return n * (n + 1) / 2; }
int crash() { return std::raise(SIGKILL); }
// Works until it is asked to stop. A worker process is never asked: it is killed.
int work_until_stopped(const std::stop_token& stop) {
  int turns = 0;
  for (; !stop.stop_requested(); ++turns) ::usleep(1000);
  return turns;
}
LEASEPOOL_REGISTER(sum_to);
LEASEPOOL_REGISTER(crash);
LEASEPOOL_REGISTER(work_until_stopped);

void step(std::string_view what, std::string_view outcome) { std::cout << "  " << what << ": " << outcome << '\n'; }

// What an awaitable fails with.
template <class Awaitable>
leasepool::Task<std::string> failure_of(Awaitable awaitable) {
  std::string failure = "nothing";
  try {
    (void)co_await awaitable;
  } catch (const leasepool::LeasePoolError& error) {
    failure = error.code().message();
  }
  co_return failure;
}

leasepool::Task<> use_a_lease(leasepool::Loop& loop, LeasedExecutorManager& manager) {
  const ExecutorLease lease = co_await manager.acquire({.owner = "walker"});
  const auto [ten, hundred] = co_await leasepool::when_all(lease.run(sum_to, 10), lease.run(sum_to, 100));
  step("two calls at once", std::to_string(ten) + " and " + std::to_string(hundred));

  // Whoever wants a pool now and does not wait is refused: there is only one.
  step("a second lease", co_await failure_of(manager.acquire({.owner = "second", .wait = false})));

  // Cancelled while it runs: the process is killed; the thread's function sees the request, and returns.
  std::stop_source source;
  bool ended = false;
  lease.with(source.get_token()).run_async(work_until_stopped, [&ended](const leasepool::Result<int>& result) {
    step("a call that is cancelled", result ? "returned early" : result.error().code().message());
    ended = true;
  });
  while (manager.stats().leases.at(0).calls_running == 0) co_await loop.sleep(1ms);
  source.request_stop();
  while (!ended) co_await loop.sleep(1ms);

  step("a call with a timeout", co_await failure_of(lease.with({.timeout = 20ms}).run(work_until_stopped)));
  if (manager.backend() == ExecutorBackend::process) {
    step("a call that crashes", co_await failure_of(lease.run(crash)));
  }
  const std::uint64_t thousand = co_await lease.run(sum_to, 1000);  // the lease has survived all of that
  step("a call after them", std::to_string(thousand));
}  // and is released here

leasepool::Task<> keep_a_lease(leasepool::Loop& loop, LeasedExecutorManager& manager) {
  ExecutorLease lease = co_await manager.acquire({.owner = "keeper", .lease_duration = 1min});
  const auto until = lease.soft_expires_at();
  lease.extend(1h);
  step("an extended lease", lease.soft_expires_at() > until ? "lasts longer" : "does not");

  std::atomic<std::uint64_t> sum = 0;
  std::thread other([&] { sum = lease.submit(sum_to, 20).get(); });  // any thread may wait for a future but the loop's
  while (sum == 0) co_await loop.sleep(1ms);
  other.join();
  step("a call from another thread", std::to_string(sum));

  lease.release();  // earlier than its destructor would
  step("a call after its release", co_await failure_of(lease.run(sum_to, 1)));
}

leasepool::Task<> forget_a_lease(leasepool::Loop& loop, LeasedExecutorManager& manager) {
  const ExecutorLease lease = co_await manager.acquire({.owner = "forgetful", .lease_duration = 10ms});
  while (lease.active()) co_await loop.sleep(1ms);  // revoked by itself at its hard expiry
  step("a call on an expired lease", co_await failure_of(lease.run(sum_to, 1)));
  const ExecutorLease next = co_await manager.acquire({.owner = "next"});  // the capacity is back all the same
  step("the next lease", next.active() ? "is there" : "is not there");
}

// The number of pools follows the work.
leasepool::Task<> grow_and_shrink(leasepool::Loop& loop, ExecutorBackend backend) {
  std::size_t jobs = 0;
  leasepool::ManagerOptions options;
  options.backend = backend;
  options.max_pools = 3;
  options.workers_per_pool = 1;
  options.units_per_pool = 10;
  int asked = 0;
  options.size_provider = [&] {
    ++asked;
    return jobs;
  };
  LeasedExecutorManager manager(loop, options);
  co_await manager.start();
  for (const std::size_t now : {15U, 1000U, 0U}) {
    jobs = now;
    const int before = asked;
    manager.notify_scale_changed();  // the manager asks in a later turn of the loop
    while (asked == before || manager.available_count() != manager.desired_executor_count()) co_await loop.sleep(1ms);
    step(std::to_string(now) + " jobs", std::to_string(manager.desired_executor_count()) + " pools");
  }
  co_await manager.stop();
}

leasepool::Task<> walk(leasepool::Loop& loop, ExecutorBackend backend) {
  leasepool::ManagerOptions options;
  options.backend = backend;
  options.max_pools = 1;
  options.workers_per_pool = 2;
  options.lease_grace = 10ms;
  options.log = [](const leasepool::LogRecord&) {};  // of the crash and the expiry, which are meant here
  LeasedExecutorManager manager(loop, options);
  step("before start", co_await failure_of(manager.acquire()));
  co_await manager.start();
  co_await use_a_lease(loop, manager);
  co_await keep_a_lease(loop, manager);
  co_await forget_a_lease(loop, manager);
  co_await grow_and_shrink(loop, backend);

  const leasepool::ManagerStats stats = manager.stats();
  std::cout << "  in all: " << stats.acquired << " leases, " << stats.leases_revoked << " revoked; "
            << stats.calls_completed << " calls completed, " << stats.calls_failed << " failed; "
            << stats.workers_crashed << " workers crashed\n";
  co_await manager.stop();
}

int main() {
  leasepool::init();
  leasepool::Loop loop;
  std::cout << "threads:\n";
  loop.block_on(walk(loop, ExecutorBackend::thread));
  std::cout << "processes:\n";
  loop.block_on(walk(loop, ExecutorBackend::process));
}
