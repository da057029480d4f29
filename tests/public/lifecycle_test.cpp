// Contract, section Lifecycle: starting, stopping, threads that may and may not call, and the order of ends.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "support.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"

using leasepool::test::child_processes;
using leasepool::test::eventually;
using leasepool::test::open_descriptors;
using leasepool::test::process_state;
using leasepool::test::thread_count;

namespace {

int log_past_gate() {
  lp::log(lp::LogLevel::info, "before the gate");
  pass_gate(1);
  lp::log(lp::LogLevel::info, "after the gate");
  return 1;
}

}  // namespace

TEST_CASE("L1: before start, acquire fails, stop and notify do nothing, and the counts are zeros", "[L1]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    int asked = 0;
    lp::ManagerOptions options = options_for(backend, 3, 1);
    options.size_provider = [&] { return static_cast<std::size_t>(++asked); };
    lp::LeasedExecutorManager manager(loop, options);
    const auto code = co_await failure_of(manager.acquire());
    CHECK(code == Errc::not_started);
    manager.notify_scale_changed();
    co_await manager.stop();
    CHECK(asked == 0);
    CHECK(manager.desired_executor_count() == 0);
    CHECK(manager.available_count() == 0);
    CHECK(manager.leased_count() == 0);
    CHECK(manager.total_count() == 0);
    const lp::ManagerStats stats = manager.stats();
    CHECK_FALSE(stats.started);
    CHECK(stats.total == 0);
    CHECK(stats.starting == 0);
    CHECK(stats.leases.empty());
  });
}

TEST_CASE("L1: while it starts, acquire fails as it does before, and the counts are zeros", "[L1]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    lp::LeasedExecutorManager manager(loop, options_for(backend));
    bool started = false;
    std::optional<Errc> refused;
    manager.start_async([&](lp::Result<void> result) { started = result.has_value(); });
    manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease> lease) {
      refused = lease ? Errc{} : static_cast<Errc>(lease.error().code().value());
    });
    CHECK_FALSE(manager.stats().started);
    CHECK(manager.desired_executor_count() == 0);
    CHECK(manager.available_count() == 0);
    CHECK(manager.leased_count() == 0);
    CHECK(manager.total_count() == 0);
    co_await until(loop, [&] { return started && refused; });
    CHECK(refused == Errc::not_started);
    CHECK(manager.total_count() == 1);
    co_await manager.stop();
  });
}

TEST_CASE("L2: starting twice is once, and a stopped manager starts again", "[L2]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    lp::ManagerOptions options = options_for(backend, 3);
    options.min_pools = 2;
    lp::LeasedExecutorManager manager(loop, options);
    std::vector<int> order;
    for (const int which : {1, 2}) {
      manager.start_async([&, which](lp::Result<void> result) {
        CHECK(result);
        CHECK(manager.available_count() == 2);
        order.push_back(which);
      });
    }
    co_await until(loop, [&] { return order.size() == 2; });
    CHECK(order == std::vector<int>{1, 2});
    co_await manager.start();
    CHECK(manager.total_count() == 2);
    for (int round = 0; round < 3; ++round) {
      co_await manager.stop();
      CHECK(manager.total_count() == 0);
      co_await manager.start();
      auto lease = co_await manager.acquire();
      const std::uint64_t nine = co_await lease.run(square, 3);
      CHECK(nine == 9);
    }
    co_await manager.stop();
  });
}

TEST_CASE("L2: start and stop asked for in the middle of each other take effect in order", "[L2]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    lp::LeasedExecutorManager manager(loop, options_for(backend));
    std::vector<std::string> order;
    const auto start = [&] {
      manager.start_async([&](lp::Result<void> result) {
        order.push_back(result ? "started" : result.error().code() == Errc::cancelled ? "cancelled" : "start failed");
      });
    };
    start();
    manager.stop_async([&](lp::Result<void> result) { order.push_back(result ? "stopped" : "stop failed"); });
    start();
    co_await until(loop, [&] { return order.size() == 3; });
    // The first start was taken back by the stop; the one after the stop holds.
    CHECK(std::count(order.begin(), order.end(), "cancelled") == 1);
    CHECK(std::count(order.begin(), order.end(), "stopped") == 1);
    CHECK(order.back() == "started");
    CHECK(manager.total_count() == 1);
    co_await manager.stop();
  });
}

TEST_CASE("L3: stop fails waiters and queued calls at once, and lets running calls end", "[L3]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    lp::LeasedExecutorManager manager(loop, options_for(backend, 1, 1));
    co_await manager.start();
    auto lease = co_await manager.acquire();
    std::optional<lp::Result<int>> running;
    std::optional<lp::Result<int>> queued;
    std::optional<Errc> waiter;
    bool stopped = false;
    lease.run_async(pass_gate, 1, [&](lp::Result<int> result) { running = std::move(result); });
    lease.run_async(pass_gate, 2, [&](lp::Result<int> result) { queued = std::move(result); });
    manager.acquire_async(
        {}, [&](lp::Result<lp::ExecutorLease> result) { waiter = static_cast<Errc>(result.error().code().value()); });
    co_await until_entered(loop, 1);
    manager.stop_async([&](lp::Result<void> result) { stopped = result.has_value(); });
    co_await until(loop, [&] { return queued && waiter; });
    CHECK(queued->error().code() == Errc::cancelled);
    CHECK(waiter == Errc::not_started);
    CHECK_FALSE(running);
    CHECK_FALSE(stopped);
    const auto refused = co_await failure_of(manager.acquire());
    CHECK(refused == Errc::not_started);
    const auto late = co_await failure_of(lease.run(pass_gate, 3));
    CHECK(late == Errc::not_started);
    open_gate();
    co_await until(loop, [&] { return stopped; });
    REQUIRE(running);
    CHECK(running->value() == 1);
    CHECK(shared().entered == 1);
  });
}

TEST_CASE("L3: after stop_timeout, running calls are cancelled: processes killed, threads abandoned by name", "[L3]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    auto log = std::make_shared<std::string>();
    lp::ManagerOptions options = options_for(backend);
    options.stop_timeout = 20ms;
    options.log = [log](const lp::LogRecord& record) { *log += record.text; };
    lp::LeasedExecutorManager manager(loop, options);
    co_await manager.start();
    auto lease = co_await manager.acquire();
    auto alive = std::make_shared<int>(7);
    std::weak_ptr<int> watch = alive;
    std::optional<Errc> outcome;
    if (backend == ExecutorBackend::thread) {
      lease.run_async([alive = std::move(alive)] { return pass_gate(*alive); },
                      [&](lp::Result<int> result) { outcome = static_cast<Errc>(result.error().code().value()); });
      lease.run_async(pass_gate, 2, [](const lp::Result<int>&) {});  // one with a name
    } else {
      lease.run_async(pass_gate, 1,
                      [&](lp::Result<int> result) { outcome = static_cast<Errc>(result.error().code().value()); });
    }
    co_await until_entered(loop, backend == ExecutorBackend::thread ? 2 : 1);
    co_await manager.stop();
    co_await until(loop, [&] { return outcome.has_value(); });
    CHECK(outcome == Errc::cancelled);
    if (backend == ExecutorBackend::thread) {
      CHECK_THAT(*log, ContainsSubstring("abandons"));
      CHECK_THAT(*log, ContainsSubstring("pass_gate"));
      CHECK_FALSE(watch.expired());  // the function still uses it
      open_gate();
      co_await until(loop, [&] { return watch.expired() && shared().left == 2; });
    } else {
      CHECK(child_processes().size() <= 2);  // the fork server and its reserve
    }
  });
}

TEST_CASE("L5: off the loop's thread, what belongs to it fails with wrong_thread and changes nothing", "[L5]") {
  on_manager(options_for(both_backends()), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    const lp::TimePoint end = lease.soft_expires_at();
    const auto code_of = [](auto call) {
      try {
        call();
      } catch (const lp::LeasePoolError& error) {
        return error.code() == Errc::wrong_thread;
      }
      return false;
    };
    std::thread([&] {
      CHECK(code_of([&] { (void)manager.start(); }));
      CHECK(code_of([&] { (void)manager.stop(); }));
      CHECK(code_of([&] { manager.stop_async([](lp::Result<void>) {}); }));
      CHECK(code_of([&] { (void)manager.acquire(); }));
      CHECK(code_of([&] { manager.acquire_async({}, [](lp::Result<lp::ExecutorLease>) {}); }));
      CHECK(code_of([&] { (void)lease.run(square, 1); }));
      CHECK(code_of([&] { lease.run_async(square, 1, [](lp::Result<std::uint64_t>) {}); }));
      CHECK(code_of([&] { lease.release(); }));
      CHECK(code_of([&] { lease.extend(1s); }));
      CHECK(code_of([&] { (void)loop.call_after(1s, [] {}); }));
      CHECK(code_of([&] { loop.run(); }));
    }).join();
    CHECK(lease.active());
    CHECK(lease.soft_expires_at() == end);
    CHECK(manager.leased_count() == 1);
    const lp::ManagerStats stats = manager.stats();
    CHECK(stats.started);
    CHECK_FALSE(stats.stopping);
    CHECK(stats.waiters.empty());
    CHECK(stats.calls_completed + stats.calls_failed == 0);
    CHECK(stats.leases.at(0).calls_running + stats.leases.at(0).calls_queued == 0);
    const std::uint64_t nine = co_await lease.run(square, 3);
    CHECK(nine == 9);
    lease.release();
  });
}

TEST_CASE("L5: submit, notify_scale_changed, post and stop may be called from any thread", "[L5]") {
  close_gate();
  const ExecutorBackend backend = both_backends();
  lp::Loop loop;
  lp::LeasedExecutorManager manager(loop, options_for(backend));
  std::uint64_t result = 0;
  std::optional<lp::ExecutorLease> lease;
  std::thread other;
  manager.start_async([&](lp::Result<void> started) {
    REQUIRE(started);
    manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease> acquired) {
      lease = std::move(*acquired);
      other = std::thread([&] {
        std::future<std::uint64_t> future = lease->submit(square, 12);
        manager.notify_scale_changed();
        result = future.get();
        loop.post([] {});
        loop.stop();
      });
    });
  });
  loop.run();
  other.join();
  CHECK(result == 144);
}

TEST_CASE("L5: what another thread asks for happens on the loop's thread", "[L5][S2]") {
  std::vector<std::thread::id> asked_by;
  lp::ManagerOptions options = options_for(both_backends(), 3, 1);
  options.units_per_pool = 1;
  options.check_interval = 3600s;
  options.size_provider = [&] {
    asked_by.push_back(std::this_thread::get_id());
    return asked_by.size();
  };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    std::thread([&manager, taken = std::move(lease)]() mutable {
      {
        const lp::ExecutorLease dies_here = std::move(taken);
      }
      manager.notify_scale_changed();
    }).join();
    CHECK(manager.leased_count() == 1);  // until the loop has its turn
    co_await until(loop, [&] { return manager.available_count() == 2; });
    CHECK(asked_by == std::vector<std::thread::id>(2, std::this_thread::get_id()));
  });
}

TEST_CASE("L6: managers, leases and loops end in any order and leave nothing behind", "[L6]") {
  const ExecutorBackend backend = both_backends();
  close_gate();
  open_gate();
  {  // what the first use of a backend keeps
    lp::Loop loop;
    lp::LeasedExecutorManager manager(loop, options_for(backend));
    loop.block_on([](lp::LeasedExecutorManager& started) -> lp::Task<> { co_await started.start(); }(manager));
  }
  const auto descriptors = open_descriptors();
  const auto threads = thread_count();
  const auto children = child_processes().size();
  close_gate();
  const int order = GENERATE(0, 1, 2, 3, 4, 5);
  const bool with_calls = GENERATE(false, true);
  CAPTURE(order, with_calls);
  {
    auto loop = std::make_unique<lp::Loop>();
    auto manager = std::make_unique<lp::LeasedExecutorManager>(*loop, options_for(backend, 2, 1));
    auto lease = std::make_unique<lp::ExecutorLease>();
    int delivered = 0;
    loop->block_on([](lp::Loop& running, lp::LeasedExecutorManager& started, lp::ExecutorLease& acquired, bool calls,
                      int& count) -> lp::Task<> {
      co_await started.start();
      acquired = co_await started.acquire();
      if (!calls) co_return;
      acquired.run_async(pass_gate, 1, [&](lp::Result<int>) { ++count; });
      acquired.run_async(pass_gate, 2, [&](lp::Result<int>) { ++count; });
      co_await until_entered(running, 1);
    }(*loop, *manager, *lease, with_calls, delivered));
    open_gate();  // a thread's function must be able to end
    const auto end = [&](int what) {
      if (what == 0) loop.reset();
      if (what == 1) manager.reset();
      if (what == 2) lease.reset();
    };
    constexpr int kOrders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (const int what : kOrders[order]) {
      end(what);
      if (lease && !manager) {
        CHECK_FALSE(lease->active());
        if (loop) {
          std::optional<Errc> code;
          lease->run_async(square, 1, [&](lp::Result<std::uint64_t> result) {
            code = static_cast<Errc>(result.error().code().value());
          });
          loop->block_on(until(*loop, [&] { return code.has_value(); }));
          CHECK(code == Errc::not_started);
        } else {
          CHECK_THROWS_AS(lease->run(square, 1), lp::LeasePoolError);
        }
      }
    }
  }
  CHECK(open_descriptors() == descriptors);
  CHECK(eventually([&] { return thread_count() == threads; }));
  CHECK(child_processes().size() == children);
}

TEST_CASE("L6: a manager's destructor kills its worker processes and waits for its threads", "[L6]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    auto manager = std::make_unique<lp::LeasedExecutorManager>(loop, options_for(backend, 1, 1));
    co_await manager->start();
    const auto lease = co_await manager->acquire();
    std::optional<lp::Result<int>> outcome;
    const auto keep = [&](lp::Result<int> result) { outcome = std::move(result); };
    if (backend == ExecutorBackend::process) {
      lease.run_async(pass_gate, 1, keep);
      co_await until_entered(loop, 1);
      manager.reset();
      CHECK(child_processes().size() <= 2);  // the fork server and its reserve
      co_await until(loop, [&] { return outcome.has_value(); });
      CHECK(outcome->error().code() == Errc::cancelled);
      open_gate();
      CHECK(shared().left == 0);
    } else {
      std::atomic<bool> ended = false;
      const auto takes_a_while = [&ended] {
        const int value = pass_gate(1);
        std::this_thread::sleep_for(20ms);  // in which a destructor that does not wait is through
        ended = true;
        return value;
      };
      lease.run_async(takes_a_while, keep);
      co_await until_entered(loop, 1);
      open_gate();
      manager.reset();
      CHECK(ended);
      co_await until(loop, [&] { return outcome.has_value(); });
      CHECK(outcome->value() == 1);
    }
  });
}

TEST_CASE("L6: a manager of processes ends without waiting for what other threads have posted to its loop", "[L6]") {
  lp::Loop loop;
  lp::ManagerOptions options = options_for(ExecutorBackend::process, 1, 2);
  options.shared_memory = false;
  std::optional<lp::LeasedExecutorManager> manager(std::in_place, loop, options);
  auto started = [](lp::LeasedExecutorManager& its) -> lp::Task<> { co_await its.start(); };
  loop.block_on(started(*manager));
  lp::Duration taken{};
  const lp::Timer timer = loop.call_after(lp::Duration::zero(), [&] {
    loop.post([] {});
    const auto begin = std::chrono::steady_clock::now();
    manager.reset();
    taken = std::chrono::steady_clock::now() - begin;
    loop.stop();
  });
  loop.run();
  CHECK(taken < std::chrono::seconds(4));  // after five, workers that are not seen to die are given up
}

TEST_CASE("L3, L6: a manager's destructor names what its threads still run", "[L3][L6]") {
  on_loop(ExecutorBackend::thread, [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    const auto threads = thread_count();
    const auto log = std::make_shared<std::string>();
    lp::ManagerOptions options = options_for(backend, 1, 2);
    options.stop_timeout = 1ms;
    options.log = [log](const lp::LogRecord& record) { *log += std::string(record.text) + "\n"; };
    auto manager = std::make_unique<lp::LeasedExecutorManager>(loop, options);
    co_await manager->start();
    const auto lease = co_await manager->acquire();
    int told = 0;
    lease.run_async(pass_gate, 1, [&](const lp::Result<int>&) { ++told; });
    lease.run_async(square, 3, [&](const lp::Result<std::uint64_t>&) { ++told; });
    co_await until(loop, [&] { return told == 1; });
    co_await until_entered(loop, 1);
    manager.reset();
    CHECK_THAT(*log, ContainsSubstring("destructor abandons threads that still run pass_gate for lease"));
    open_gate();
    co_await until(loop, [&] { return told == 2 && shared().left == 1; });
    CHECK(eventually([&] { return thread_count() == threads; }));  // what it holds is gone with it
  });
}

TEST_CASE("L6: a manager's destructor gives its sink what was logged before, and nothing comes to it later", "[L6]") {
  const bool destroyed = GENERATE(true, false);  // or stopped, and destroyed then
  CAPTURE(destroyed);
  on_loop(ExecutorBackend::thread, [&](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    const auto threads = thread_count();
    std::string log;
    bool gone = false;
    int late = 0;
    lp::ManagerOptions options = options_for(backend, 1, 1);
    options.stop_timeout = 1ms;
    options.log = [&](const lp::LogRecord& record) {
      if (gone) ++late;
      log += std::string(record.text) + "\n";
    };
    auto manager = std::make_unique<lp::LeasedExecutorManager>(loop, options);
    co_await manager->start();
    const auto lease = co_await manager->acquire();
    int told = 0;
    lease.run_async(log_past_gate, [&](const lp::Result<int>&) { ++told; });
    // Blocks the loop, so that the line waits for it.
    CHECK(eventually([] { return shared().entered == 1; }));
    if (!destroyed) co_await manager->stop();
    manager.reset();
    gone = true;
    CHECK_THAT(log, ContainsSubstring("before the gate"));
    open_gate();
    co_await until(loop, [&] { return told == 1 && shared().left == 1; });
    CHECK(eventually([&] { return thread_count() == threads; }));
    co_await loop.sleep(lp::Duration::zero());
    CHECK(late == 0);
  });
}

TEST_CASE("L6: a manager destroyed in the middle of start, stop or a wait leaves nothing behind", "[L6]") {
  const ExecutorBackend backend = both_backends();
  {  // what the first use of a backend keeps
    lp::Loop loop;
    lp::LeasedExecutorManager manager(loop, options_for(backend));
    loop.block_on([](lp::LeasedExecutorManager& started) -> lp::Task<> { co_await started.start(); }(manager));
  }
  const auto before = open_descriptors();
  const auto children = child_processes().size();
  const auto threads = thread_count();
  const int moment = GENERATE(0, 1, 2, 3);
  CAPTURE(moment);
  {
    lp::Loop loop;
    int called = 0;
    std::vector<lp::ExecutorLease> leases;
    {
      lp::LeasedExecutorManager manager(loop, options_for(backend));
      manager.start_async([&](lp::Result<void>) { ++called; });
      if (moment >= 1) loop.block_on(until(loop, [&] { return called == 1; }));
      if (moment >= 2) {
        for (int i = 0; i < 2; ++i) {
          manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease> lease) {
            ++called;
            if (lease) leases.push_back(std::move(*lease));
          });
        }
        loop.block_on(until(loop, [&] { return called == 2; }));
      }
      if (moment >= 3) manager.stop_async([&](lp::Result<void>) { ++called; });
    }
    // Whoever waited is told, on the loop, after the manager is gone.
    const int expected = moment == 0 ? 1 : moment == 1 ? 1 : moment == 2 ? 3 : 4;
    loop.block_on(until(loop, [&] { return called == expected; }));
  }
  CHECK(open_descriptors() == before);
  CHECK(child_processes().size() == children);
  CHECK(eventually([&] { return thread_count() == threads; }));
}

// The loop goes on for each pool's workers while its manager closes them one pool after the other: what a dead worker
// had not begun is then given back to a pool that will close, too.
TEST_CASE("L6: calls that workers died before they began are told, each once, when their manager is destroyed",
          "[L6][W4]") {
  constexpr std::size_t kPools = 4;
  lp::Loop loop;
  std::optional<lp::LeasedExecutorManager> manager;
  manager.emplace(loop, options_for(ExecutorBackend::process, kPools, 1));
  std::vector<lp::ExecutorLease> leases;
  std::vector<pid_t> workers;
  loop.block_on([](lp::LeasedExecutorManager& started, std::vector<lp::ExecutorLease>& all,
                   std::vector<pid_t>& processes) -> lp::Task<> {
    co_await started.start();
    for (std::size_t i = 0; i < kPools; ++i) {
      all.push_back(co_await started.acquire());
      processes.push_back(co_await all.back().run(process_id));
    }
  }(*manager, leases, workers));
  // Without a turn of the loop from here on.
  for (const pid_t worker : workers) {
    REQUIRE(::kill(worker, SIGSTOP) == 0);
    REQUIRE(eventually([&] { return process_state(worker) == 'T'; }));
  }
  std::vector<int> told(kPools, 0);
  for (std::size_t i = 0; i < kPools; ++i) {
    leases[i].run_async(square, 2, [&, i](const lp::Result<int>& result) {
      ++told[i];
      CHECK_FALSE(result.has_value());
      if (!result) CHECK(result.error().code() == Errc::cancelled);
    });
  }
  for (const pid_t worker : workers) {
    REQUIRE(::kill(worker, SIGKILL) == 0);
    REQUIRE(eventually([&] { return process_state(worker) != 'T'; }));
  }
  manager.reset();
  CHECK(std::ranges::count(told, 0) == kPools);  // callbacks run on the loop, not in the destructor
  loop.block_on(until(loop, [&] { return std::ranges::count(told, 0) == 0; }));
  CHECK(std::ranges::count(told, 1) == kPools);
}

TEST_CASE("L7: two managers on one loop, and two loops in two threads, do not touch each other", "[L7]") {
  const ExecutorBackend backend = both_backends();
  close_gate();
  open_gate();
  const auto work = [backend](int offset) {
    lp::Loop loop;
    lp::LeasedExecutorManager first(loop, options_for(backend, 2, 1));
    lp::LeasedExecutorManager second(loop, options_for(backend, 2, 1));
    std::uint64_t sum = 0;
    loop.block_on(
        [](lp::LeasedExecutorManager& a, lp::LeasedExecutorManager& b, std::uint64_t& total, int from) -> lp::Task<> {
          co_await a.start();
          co_await b.start();
          auto lease_a = co_await a.acquire();
          auto lease_b = co_await b.acquire();
          const auto more_a = co_await a.acquire();  // max_pools is per manager
          const auto more_b = co_await b.acquire();
          for (int i = from; i < from + 50; ++i) {
            auto [x, y] = co_await lp::when_all(lease_a.run(square, i), lease_b.run(square, i));
            total += x + y;
          }
          co_await a.stop();
          total += co_await lease_b.run(square, 1);
          lease_b.release();
          co_await b.stop();
        }(first, second, sum, offset));
    return std::vector<std::uint64_t>{sum, first.stats().calls_completed, second.stats().calls_completed};
  };
  const auto expected = [](int from) {
    std::uint64_t sum = 1;
    for (int i = from; i < from + 50; ++i) sum += 2 * static_cast<std::uint64_t>(i * i);
    return std::vector<std::uint64_t>{sum, 50, 51};
  };
  std::vector<std::uint64_t> in_thread;
  std::thread other([&] { in_thread = work(1000); });
  CHECK(work(0) == expected(0));
  other.join();
  CHECK(in_thread == expected(1000));
}
