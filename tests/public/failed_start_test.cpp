// Contract, section Lifecycle: starts that fail.
#include <vector>

#include "support.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"
#include "want_of.hpp"

using leasepool::test::child_processes;
using leasepool::test::eventually;
using leasepool::test::open_descriptors;
using leasepool::test::thread_count;

TEST_CASE("L4: a start that lacks what workers need says so, leaves nothing behind and can be tried again", "[L4]") {
  const ExecutorBackend backend = both_backends();
  CAPTURE(backend == ExecutorBackend::thread ? "thread" : "process");
  close_gate();
  lp::Loop loop;
  lp::ManagerOptions options = options_for(backend, 3, 2);
  options.min_pools = 3;
  lp::LeasedExecutorManager manager(loop, options);
  const auto descriptors = open_descriptors();
  const auto threads = thread_count();
  const auto children = child_processes().size();
  for (int round = 0; round < 3; ++round) {
    std::vector<std::string> messages;
    const auto failed = [&](const lp::Result<void>& result) {
      REQUIRE_FALSE(result);
      CHECK(result.error().code() == Errc::pool_broken);
      CHECK(manager.total_count() == 0);
      messages.push_back(result.error().message());
    };
    {
      std::optional<WantOfThreads> no_threads;
      std::optional<WantOfDescriptors> no_descriptors;
      if (backend == ExecutorBackend::thread) {
        no_threads.emplace();
      } else {
        no_descriptors.emplace(round);  // fails at another point each time
      }
      manager.start_async(failed);
      manager.start_async(failed);
      loop.block_on(until(loop, [&] { return messages.size() == 2; }));
    }
    CHECK(messages[0] == messages[1]);
    CHECK_THAT(messages[0],
               ContainsSubstring(backend == ExecutorBackend::thread ? "workers_per_pool = 2" : "Too many open files"));
    CHECK(open_descriptors() == descriptors);
    CHECK(child_processes().size() == children);
    CHECK(eventually([&] { return thread_count() == threads; }));
    loop.block_on([](lp::LeasedExecutorManager& again) -> lp::Task<> {
      co_await again.start();
      CHECK(again.available_count() == 3);
      {
        const auto lease = co_await again.acquire();
        const std::uint64_t nine = co_await lease.run(square, 3);
        CHECK(nine == 9);
      }
      co_await again.stop();
    }(manager));
  }
}

TEST_CASE("L4: a start that fails half-way is told when what it had made is gone", "[L4]") {
  const ExecutorBackend backend = ExecutorBackend::process;  // threads: tests/pool/alone/limits_test.cpp
  close_gate();
  lp::Loop loop;
  lp::ManagerOptions options = options_for(backend, 2, 1);
  options.min_pools = 2;
  lp::LeasedExecutorManager manager(loop, options);
  const auto children = child_processes().size();
  bool started = false;
  for (int left = 0; !started; ++left) {
    std::optional<WantOfDescriptors> want(left);
    bool told = false;
    manager.start_async([&](const lp::Result<void>& result) {
      want.reset();
      told = true;
      started = result.has_value();
      CHECK_FALSE(manager.stats().stopping);
      if (!started) CHECK(child_processes().size() == children);
    });
    loop.block_on(until(loop, [&] { return told; }));
  }
  loop.block_on([](lp::LeasedExecutorManager& to_stop) -> lp::Task<> { co_await to_stop.stop(); }(manager));
}
