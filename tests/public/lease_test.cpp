// Contract, section Lease: calling functions, releasing, draining, queues, time-outs and cancellation.
#include <algorithm>
#include <csignal>
#include <future>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

#include "support.hpp"

TEST_CASE("value_or_raise() gives the value, or throws as an await does", "[E3]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    std::optional<lp::Result<std::uint64_t>> good;
    std::optional<lp::Result<int>> bad;
    lease.run_async(square, 3, [&](lp::Result<std::uint64_t> result) { good = std::move(result); });
    lease.run_async(throw_out_of_range, std::string("too far"),
                    [&](lp::Result<int> result) { bad = std::move(result); });
    co_await until(loop, [&] { return good && bad; });
    CHECK(lp::value_or_raise(*good) == 9);
    CHECK_THROWS_WITH(lp::value_or_raise(*bad), ContainsSubstring("too far"));
    CHECK_NOTHROW(lp::value_or_raise(lp::Result<void>()));
    const lp::Result<std::unique_ptr<int>> own(std::unexpect, Errc::cancelled, "taken back");
    CHECK_THROWS_WITH(lp::value_or_raise(lp::Result<std::unique_ptr<int>>(std::unexpect, own.error())),
                      ContainsSubstring("taken back"));
    CHECK(*lp::value_or_raise(lp::Result<std::unique_ptr<int>>(std::make_unique<int>(4))) == 4);
    lease.release();
  });
}

TEST_CASE("submit_from_thread() is submit() by the grinder's name", "[E1]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    auto plain = lease.submit_from_thread(square, 4);
    auto timed = lease.with({.timeout = 1h}).submit_from_thread(square, 5);
    co_await until(loop, [&] {
      return plain.wait_for(0s) == std::future_status::ready && timed.wait_for(0s) == std::future_status::ready;
    });
    CHECK(plain.get() == 16);
    CHECK(timed.get() == 25);
    lease.release();
  });
}

TEST_CASE("E1: run returns values, void and move-only results", "[E1]") {
  on_manager(options_for(both_backends()), [](Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire({.owner = "values"});
    const std::uint64_t nine = co_await lease.run(square, 3);  // an int becomes the parameter's type
    CHECK(nine == 9);
    const std::string text = co_await lease.run(join, "lease", std::string("pool"));
    CHECK(text == "leasepool");
    co_await lease.run(nothing);
    std::unique_ptr<int> box = co_await lease.run(boxed, 42);
    CHECK(*box == 42);
    const int elsewhere = co_await lease.run(process_id);
    CHECK((elsewhere != process_id()) == (manager.backend() == ExecutorBackend::process));
    const int worker = co_await lease.run(thread_id);
    CHECK(worker != thread_id());
    lease.release();
  });
}

TEST_CASE("E1: exceptions arrive as the function threw them and do not retire the pool", "[E1]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    const int before = co_await lease.run(thread_id);
    bool standard = false;
    try {
      co_await lease.run(throw_out_of_range, std::string("index 7 of 5"));
    } catch (const std::out_of_range& thrown) {
      standard = std::string(thrown.what()) == "index 7 of 5";
    }
    CHECK(standard);
    const auto own = co_await failure_of([](lp::ExecutorLease& from) -> lp::Task<> {
      try {
        co_await from.run(throw_own_type, 5);
      } catch (const lp::LeasePoolError&) {
        throw;
      } catch (...) {  // a thread brings the object itself
        throw lp::LeasePoolError(make_error_code(Errc::remote_exception), "OwnType");
      }
    }(lease));
    CHECK(own == Errc::remote_exception);
    if (manager.backend() == ExecutorBackend::process) {
      const std::string message = co_await message_of(lease.run(throw_own_type, 5));
      CHECK_THAT(message, ContainsSubstring("OwnType"));
    }
    std::optional<lp::Error> error;
    lease.run_async(throw_out_of_range, "again", [&](lp::Result<int> result) { error = result.error(); });
    co_await until(loop, [&] { return error.has_value(); });
    CHECK(error->code() == Errc::remote_exception);
    CHECK(error->message() == "again");
    CHECK_THROWS_AS(error->raise(), std::out_of_range);
    const int after = co_await lease.run(thread_id);
    CHECK(before == after);
    CHECK(manager.stats().workers_started == 1);
    CHECK(manager.stats().workers_crashed == 0);
    lease.release();
  });
}

TEST_CASE("E2: a lease is released by its destructor, by an exception, once, and not by one that was moved from",
          "[E2]") {
  on_manager(options_for(both_backends(), 2, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    const auto throw_with_lease = [](lp::LeasedExecutorManager& from) -> lp::Task<> {
      auto lease = co_await from.acquire();
      throw std::runtime_error("in the scope of a lease");
    };
    try {
      co_await throw_with_lease(manager);
    } catch (const std::runtime_error&) {
    }
    CHECK(manager.leased_count() == 0);
    {
      auto lease = co_await manager.acquire();
      CHECK(manager.leased_count() == 1);
      lp::ExecutorLease moved = std::move(lease);
      CHECK(manager.leased_count() == 1);
      CHECK_FALSE(lease.active());  // NOLINT(bugprone-use-after-move)
      CHECK(lease.lease_id() == 0);
      CHECK_THROWS_AS(lease.run(square, 1), lp::LeasePoolError);
      lease.release();
      CHECK(manager.leased_count() == 1);
      moved.release();
      CHECK(manager.leased_count() == 0);
      moved.release();
      CHECK(manager.available_count() == 1);  // its pool is back once
      auto other = co_await manager.acquire();
      CHECK(manager.leased_count() == 1);
      moved.release();
      CHECK(manager.leased_count() == 1);
      CHECK(manager.available_count() == 0);  // the next one's pool is not its own any more
      other = co_await manager.acquire();     // the assignment releases what it held
      CHECK(manager.leased_count() == 1);
      auto another = co_await manager.acquire();
      other = std::move(another);
      CHECK(manager.leased_count() == 1);
      CHECK_FALSE(another.active());  // NOLINT(bugprone-use-after-move)
    }
    CHECK(manager.leased_count() == 0);
    {
      auto lease = co_await manager.acquire();
      std::thread([taken = std::move(lease)]() mutable {
        const lp::ExecutorLease dies_here = std::move(taken);
      }).join();
    }
    co_await until(loop, [&] { return manager.leased_count() == 0; });
  });
}

TEST_CASE("E3: after release, calls fail with lease_expired", "[E3]") {
  on_manager(options_for(both_backends()), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire({.owner = "gone"});
    auto call = lease.run(square, 2);  // not awaited yet: it starts too late
    lease.release();
    const auto code = co_await failure_of(std::move(call));
    CHECK(code == Errc::lease_expired);
    const std::string message = co_await message_of(lease.run(square, 3));
    CHECK_THAT(message, ContainsSubstring("released"));
    CHECK_THAT(message, ContainsSubstring("\"gone\""));
    std::future<std::uint64_t> future = lease.submit(square, 3);
    co_await until(loop, [&] { return future.wait_for(0s) == std::future_status::ready; });
    CHECK_THROWS_AS(future.get(), lp::LeasePoolError);
    CHECK_THROWS_AS(lease.extend(1s), lp::LeasePoolError);
  });
}

TEST_CASE("E4: a released lease drains: results still come, and its pool is lent only then", "[E4]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    std::vector<int> results;
    for (int i = 1; i <= 3; ++i) {
      lease.run_async(pass_gate, i, [&](lp::Result<int> result) { results.push_back(result.value()); });
    }
    co_await until_entered(loop, 1);
    lease.release();
    const auto late = co_await failure_of(lease.run(pass_gate, 4));
    CHECK(late == Errc::lease_expired);
    bool next = false;
    manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease> acquired) {
      CHECK(results.size() == 3);
      next = acquired.has_value();
    });
    co_await loop.sleep(2ms);
    CHECK_FALSE(next);
    CHECK(manager.leased_count() == 1);
    open_gate();
    co_await until(loop, [&] { return next; });
    CHECK(results == std::vector<int>{1, 2, 3});
  });
}

TEST_CASE("E5: so many calls run at once as there are workers, the others wait in order", "[E5]") {
  on_manager(options_for(both_backends(), 1, 3), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    int ended = 0;
    for (int i = 0; i < 10; ++i)
      lease.run_async(pass_gate, i, [&](lp::Result<int> result) { ended += result ? 1 : 0; });
    co_await until_entered(loop, 3);
    co_await loop.sleep(2ms);
    CHECK(shared().entered == 3);
    const lp::ManagerStats stats = manager.stats();
    REQUIRE(stats.leases.size() == 1);
    CHECK(stats.leases[0].calls_running == 3);
    CHECK(stats.leases[0].calls_queued == 7);
    open_gate();
    co_await until(loop, [&] { return ended == 10; });
    CHECK(shared().most_inside <= 3);

    close_gate();
    std::vector<int> order;  // with one worker, strictly in order
    co_await with_manager(loop, options_for(manager.backend(), 1, 1), [&](Manager& single) -> lp::Task<> {
      auto narrow = co_await single.acquire();
      for (int i = 0; i < 50; ++i) {
        narrow.run_async(square, static_cast<std::uint64_t>(i),
                         [&order, i](lp::Result<std::uint64_t>) { order.push_back(i); });
      }
      co_await until(loop, [&] { return order.size() == 50; });
      CHECK(std::is_sorted(order.begin(), order.end()));
    });
    lease.release();
  });
}

TEST_CASE("E5: max_queued_calls bounds the calls that wait", "[E5]") {
  lp::ManagerOptions options = options_for(both_backends(), 1, 2);
  options.max_queued_calls = 3;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    int ended = 0;
    for (int i = 0; i < 5; ++i) lease.run_async(pass_gate, i, [&](lp::Result<int> result) { ended += result ? 1 : 0; });
    const std::string message = co_await message_of(lease.run(pass_gate, 6));
    CHECK_THAT(message, ContainsSubstring("max_queued_calls is 3"));
    const auto code = co_await failure_of(lease.run(pass_gate, 7));
    CHECK(code == Errc::queue_full);
    open_gate();
    co_await until(loop, [&] { return ended == 5; });
    const int eight = co_await lease.run(pass_gate, 8);
    CHECK(eight == 8);
    lease.release();
  });
}

TEST_CASE("E6: a call's timeout ends it, counted from its start on a worker", "[E6]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    // The first holds the only worker for longer than the second's timeout: waiting does not count.
    std::optional<lp::Result<int>> first;
    std::optional<lp::Result<std::uint64_t>> second;
    lease.run_async(pass_gate, 1, [&](lp::Result<int> result) { first = std::move(result); });
    lease.with({.timeout = 400ms}).run_async(square, 4, [&](lp::Result<std::uint64_t> r) { second = std::move(r); });
    co_await until_entered(loop, 1);
    co_await loop.sleep(500ms);
    CHECK_FALSE(second);
    open_gate();
    co_await until(loop, [&] { return first && second; });
    CHECK(first->value() == 1);
    CHECK(second->value() == 16);
    close_gate();
    const auto before = std::chrono::steady_clock::now();
    const std::string message = co_await message_of(lease.with({.timeout = 15ms}).run(pass_gate, 2));
    CHECK(std::chrono::steady_clock::now() - before >= 15ms);
    CHECK_THAT(message, ContainsSubstring("pass_gate"));
    CHECK_THAT(message, ContainsSubstring("15 ms"));
    open_gate();
    const std::uint64_t nine = co_await lease.run(square, 3);
    CHECK(nine == 9);
    lease.release();
  });
}

TEST_CASE("E6: the wait for a worker has a bound of its own, which the run does not count towards", "[E6]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    std::optional<lp::Result<int>> running;
    const auto brief = lease.with({.queue_timeout = 10ms});
    do {  // again where a busy machine has not begun it in time
      running.reset();
      brief.run_async(pass_gate, 1, [&](lp::Result<int> result) { running = std::move(result); });
      co_await until(loop, [&] { return running || shared().entered == 1; });
    } while (running);
    const auto before = std::chrono::steady_clock::now();
    const std::string message = co_await message_of(brief.run(pass_gate, 2));
    CHECK(std::chrono::steady_clock::now() - before >= 10ms);
    CHECK_THAT(message, ContainsSubstring("pass_gate waited for CallOptions::queue_timeout = 10 ms"));
    const auto both = lease.with({.timeout = 60s, .queue_timeout = 10ms});
    const auto waited = co_await failure_of(both.run(pass_gate, 3));
    CHECK(waited == Errc::timed_out);
    CHECK_FALSE(running);  // though it has been there for longer
    open_gate();
    co_await until(loop, [&] { return running.has_value(); });
    CHECK(running->value() == 1);
    CHECK(shared().entered == 1);  // the others never ran
    close_gate();
    const auto code = co_await failure_of(lease.with({.timeout = 5ms, .queue_timeout = 60s}).run(wait_for_stop));
    CHECK(code == Errc::timed_out);
    lease.release();
  });
}

TEST_CASE("E6: a process that runs too long is killed and replaced, and its neighbours are not disturbed", "[E6]") {
  on_manager(options_for(ExecutorBackend::process, 1, 2), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    std::optional<lp::Result<int>> neighbour;
    lease.run_async(pass_gate, 1, [&](lp::Result<int> result) { neighbour = std::move(result); });
    co_await until_entered(loop, 1);
    const auto code = co_await failure_of(lease.with({.timeout = 10ms}).run(pass_gate, 2));
    CHECK(code == Errc::timed_out);
    CHECK_FALSE(neighbour);
    const std::uint64_t nine = co_await lease.run(square, 3);  // on the replacement
    CHECK(nine == 9);
    open_gate();
    co_await until(loop, [&] { return neighbour.has_value(); });
    CHECK(neighbour->value() == 1);
    CHECK(shared().left == 1);  // the other never got to its end
    CHECK(manager.stats().workers_started == 3);
    lease.release();
  });
}

TEST_CASE("E6: a thread whose call timed out stays busy until the function returns", "[E6]") {
  on_manager(options_for(ExecutorBackend::thread, 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    const auto code = co_await failure_of(lease.with({.timeout = 5ms}).run(pass_gate, 1));
    CHECK(code == Errc::timed_out);
    bool second = false;
    lease.run_async(square, 2, [&](lp::Result<std::uint64_t> result) { second = result.has_value(); });
    co_await loop.sleep(5ms);
    CHECK_FALSE(second);
    CHECK(manager.stats().leases.at(0).calls_running == 1);
    open_gate();
    co_await until(loop, [&] { return second; });
    lease.release();
  });
}

TEST_CASE("E7: a stop token cancels a queued call at once", "[E7]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    std::optional<lp::Result<int>> running;
    std::optional<lp::Result<int>> queued;
    lease.run_async(pass_gate, 1, [&](lp::Result<int> result) { running = std::move(result); });
    std::stop_source source;
    lease.with(source.get_token()).run_async(pass_gate, 2, [&](lp::Result<int> result) { queued = std::move(result); });
    co_await until_entered(loop, 1);
    std::thread([&] { source.request_stop(); }).join();
    co_await until(loop, [&] { return queued.has_value(); });
    CHECK(queued->error().code() == Errc::cancelled);
    CHECK_FALSE(running);
    CHECK(manager.stats().leases.at(0).calls_queued == 0);
    const auto late = co_await failure_of(lease.with(source.get_token()).run(pass_gate, 3));
    CHECK(late == Errc::cancelled);
    open_gate();
    co_await until(loop, [&] { return running.has_value(); });
    CHECK(shared().entered == 1);
    lease.release();
  });
}

TEST_CASE("E7: a stop token ends a running call: a process is killed, a thread's function sees the token", "[E7]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    std::stop_source source;
    std::optional<lp::Result<bool>> outcome;
    lease.with(source.get_token()).run_async(wait_for_stop, [&](lp::Result<bool> result) {
      outcome = std::move(result);
    });
    co_await until_entered(loop, 1);
    CHECK_FALSE(outcome);
    source.request_stop();
    co_await until(loop, [&] { return outcome.has_value(); });
    if (manager.backend() == ExecutorBackend::process) {
      REQUIRE_FALSE(outcome->has_value());
      CHECK(outcome->error().code() == Errc::cancelled);
      CHECK(shared().left == 0);
    } else {
      REQUIRE(outcome->has_value());
      CHECK(outcome->value());
    }
    const std::uint64_t nine = co_await lease.run(square, 3);
    CHECK(nine == 9);
    lease.release();
  });
}

TEST_CASE("E6, E7: a time-out asks a thread's function to stop through its token", "[E6][E7]") {
  on_manager(options_for(ExecutorBackend::thread, 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    const auto code = co_await failure_of(lease.with({.timeout = 5ms}).run(wait_for_stop));
    CHECK(code == Errc::timed_out);
    co_await until(loop, [&] { return shared().left == 1; });
    lease.release();
  });
}

TEST_CASE("E8: a function that calls its own lease from its last worker gets an error instead of waiting for itself",
          "[E8]") {
  for (const std::size_t workers : {1U, 2U}) {
    on_manager(options_for(ExecutorBackend::thread, 1, workers), [workers](Manager& manager) -> lp::Task<> {
      auto lease = co_await manager.acquire();
      auto call = lease.run([&lease] {
        std::future<std::uint64_t> inner = lease.submit(square, 5);
        try {
          return inner.get() == 25 ? Errc{} : Errc::bad_payload;
        } catch (const lp::LeasePoolError& error) {
          return static_cast<Errc>(error.code().value());
        }
      });
      const Errc outcome = co_await call;
      CHECK(outcome == (workers == 1 ? Errc::queue_full : Errc{}));
      lease.release();
    });
  }
}
