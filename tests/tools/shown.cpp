// A program to look at: a manager of worker processes with one call that waits, one of threads, and a grinder; until
// its standard input ends. Says "ready" when all of that is there, and where it listens.
#include <poll.h>
#include <unistd.h>
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <utility>

namespace {

namespace lp = leasepool;

}  // namespace

int wait_for_ever(int) {
  for (;;) ::pause();
}
LEASEPOOL_REGISTER(wait_for_ever);
int quick(int value) { return value; }
LEASEPOOL_REGISTER(quick);

namespace {

lp::Task<> show(lp::Loop& loop) {
  lp::LeasedExecutorManager processes(
      loop, {.backend = lp::ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 2, .name_prefix = "images"});
  lp::LeasedExecutorManager threads(loop, {.max_pools = 1, .workers_per_pool = 1, .name_prefix = "sdk"});
  lp::WorkGrinder grinder(threads, {.batch_size_threshold = 2, .owner_prefix = "small"});
  auto starting = lp::when_all(processes.start(), threads.start());
  co_await starting;
  auto grinding = grinder.start();
  co_await grinding;
  auto acquiring = processes.acquire({.owner = "request \x1b[31m7"});
  auto lease = co_await acquiring;
  lease.run_async(wait_for_ever, 1, [](const lp::Result<int>&) {});
  for (int i = 0; i < 100; ++i) {
    auto call = lease.run(quick, i);
    co_await call;
  }
  auto first = grinder.submit(quick, 1);
  auto second = grinder.submit(quick, 2);
  auto both = lp::when_all(std::move(first), std::move(second));
  co_await both;
  processes.acquire_async({.owner = "patient"}, [](const lp::Result<lp::ExecutorLease>&) {});
  const lp::Address address = loop.serve_stats(lp::Endpoint{});
  std::cout << "ready " << address.text() << std::endl;
  auto end = lp::readable(loop, STDIN_FILENO);
  co_await end;
}

}  // namespace

int main() {
  lp::init();
  lp::Loop loop;
  loop.serve_stats();
  loop.block_on(show(loop));
}
