// G6 of the contract and the grinder's part of L6: stopping, and ends in any order.
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "grinder_support.hpp"

namespace {

lp::GrinderOptions of_two() { return {.batch_size_threshold = 2, .max_wait = 1h}; }

}  // namespace

TEST_CASE("G6: stop() runs what is queued, without waiting for whole batches, and then ends", "[G6]") {
  on_grinder(both_backends(), {.batch_size_threshold = 4, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    Answers answers;
    for (int i = 0; i < 6; ++i) bench.grinder.submit_async(pass_gate, i, answers.taker<int>());
    bool stopped = false;
    bench.grinder.stop_async([&](lp::Result<void> result) { stopped = result.has_value(); });
    CHECK(bench.grinder.stats().stopping);
    const auto late = co_await failure_of(bench.grinder.submit(square, 1));
    CHECK(late == Errc::not_started);
    co_await until_entered(bench.loop, 2);
    CHECK_FALSE(stopped);
    open_gate();
    co_await until(bench.loop, [&] { return stopped; });
    CHECK(answers.count == 6);
    CHECK(answers.failed == 0);
    const lp::GrinderStats stats = bench.grinder.stats();
    CHECK_FALSE(stats.started);
    CHECK_FALSE(stats.stopping);
    CHECK(stats.flushed_by_size == 1);
    CHECK(stats.flushed_by_stop == 1);
    CHECK(stats.items_refused == 1);
    CHECK(bench.manager.leased_count() == 0);
    const std::string message = co_await message_of(bench.grinder.submit(square, 1));
    CHECK_THAT(message, ContainsSubstring("the grinder is not running; await start() first"));
  });
}

TEST_CASE("G6: stop(true) cancels what is queued and what is in flight", "[G6]") {
  on_grinder(both_backends(), of_two(), [](Bench& bench) -> lp::Task<> {
    Answers answers;
    for (int i = 0; i < 5; ++i) bench.grinder.submit_async(pass_gate, i, answers.taker<int>());
    co_await until_entered(bench.loop, 2);
    co_await bench.grinder.stop(true);
    CHECK(answers.count == 5);
    CHECK(answers.codes == std::vector<Errc>(5, Errc::cancelled));
    CHECK(bench.grinder.stats().items_cancelled == 5);
    CHECK(shared().entered == 2);
    open_gate();
    co_await until(bench.loop, [&] { return bench.manager.leased_count() == 0; });
    // Processes were killed where they stood; threads ran on, unheard.
    CHECK(shared().left == (bench.manager.backend() == ExecutorBackend::process ? 0 : 2));
    CHECK(answers.count == 5);
    co_await bench.grinder.start();  // as good as new
    auto [four, nine] = co_await lp::when_all(bench.grinder.submit(square, 2), bench.grinder.submit(square, 3));
    CHECK(four + nine == 13);
  });
}

TEST_CASE("G6: stop(true) ends while a batch waits for a lease, and withdraws it", "[G6]") {
  on_grinder(both_backends(), of_two(), [](Bench& bench) -> lp::Task<> {
    auto lease = co_await bench.manager.acquire();
    Answers answers;
    for (std::uint64_t i = 0; i < 3; ++i) bench.grinder.submit_async(square, i, answers.taker<std::uint64_t>());
    co_await until(bench.loop, [&] { return bench.grinder.stats().batches_waiting == 1; });
    co_await bench.grinder.stop(true);
    CHECK(answers.codes == std::vector<Errc>(3, Errc::cancelled));
    CHECK(bench.manager.stats().waiters.empty());
    lease.release();
    CHECK(bench.manager.available_count() == 1);
  });
}

TEST_CASE("G6: stop(true) overtakes a stop() that drains, and both complete", "[G6]") {
  on_grinder(both_backends(), of_two(), [](Bench& bench) -> lp::Task<> {
    Answers answers;
    for (int i = 0; i < 3; ++i) bench.grinder.submit_async(pass_gate, i, answers.taker<int>());
    co_await until_entered(bench.loop, 2);
    int completed = 0;
    bench.grinder.stop_async([&](lp::Result<void>) { ++completed; });
    bench.grinder.stop_async(true, [&](lp::Result<void>) { ++completed; });
    bool restarted = false;
    bench.grinder.start_async([&](lp::Result<void>) { restarted = completed == 2; });
    co_await until(bench.loop, [&] { return restarted; });
    CHECK(answers.codes == std::vector<Errc>(3, Errc::cancelled));
    open_gate();
    auto [one, four] = co_await lp::when_all(bench.grinder.submit(square, 1), bench.grinder.submit(square, 2));
    CHECK(one + four == 5);
  });
}

TEST_CASE("G6: stop_timeout bounds the draining", "[G6]") {
  on_grinder(both_backends(), {.batch_size_threshold = 2, .max_wait = 1h, .stop_timeout = 10ms},
             [](Bench& bench) -> lp::Task<> {
               Answers answers;
               for (int i = 0; i < 3; ++i) bench.grinder.submit_async(pass_gate, i, answers.taker<int>());
               co_await until_entered(bench.loop, 2);
               const auto begin = std::chrono::steady_clock::now();
               co_await bench.grinder.stop();
               CHECK(std::chrono::steady_clock::now() - begin >= 10ms);
               CHECK(answers.codes == std::vector<Errc>(3, Errc::cancelled));
               CHECK_THAT(answers.messages.at(0), ContainsSubstring("stop_timeout = 10 ms"));
             });
}

TEST_CASE("G6: stop() waits for a lease that cannot be had yet, and then drains", "[G6]") {
  on_grinder(both_backends(), of_two(), [](Bench& bench) -> lp::Task<> {
    auto lease = co_await bench.manager.acquire({.owner = "somebody else"});
    Answers answers;
    for (std::uint64_t i = 0; i < 3; ++i) bench.grinder.submit_async(square, i, answers.taker<std::uint64_t>());
    bool stopped = false;
    bench.grinder.stop_async([&](lp::Result<void>) { stopped = true; });
    co_await bench.loop.sleep(20ms);
    CHECK_FALSE(stopped);
    CHECK(answers.count == 0);
    CHECK(bench.grinder.stats().stopping);
    CHECK(bench.grinder.stats().batches_waiting == 1);  // as many as there are pools
    lease.release();
    co_await until(bench.loop, [&] { return stopped; });
    CHECK(answers.count == 3);
    CHECK(answers.failed == 0);
    CHECK(bench.grinder.stats().flushed_by_size == 1);
    CHECK(bench.grinder.stats().flushed_by_stop == 1);
    CHECK(bench.manager.leased_count() == 0);
  });
}

TEST_CASE("G6: stop_timeout ends a stop() that waits for a lease", "[G6]") {
  on_grinder(both_backends(), {.batch_size_threshold = 2, .max_wait = 1h, .stop_timeout = 10ms},
             [](Bench& bench) -> lp::Task<> {
               auto lease = co_await bench.manager.acquire({.owner = "somebody else"});
               Answers answers;
               for (int i = 0; i < 3; ++i) bench.grinder.submit_async(pass_gate, i, answers.taker<int>());
               const auto begin = std::chrono::steady_clock::now();
               co_await bench.grinder.stop();
               CHECK(std::chrono::steady_clock::now() - begin >= 10ms);
               CHECK(answers.codes == std::vector<Errc>(3, Errc::cancelled));
               CHECK_THAT(answers.messages.at(0), ContainsSubstring("before it ran: stop_timeout = 10 ms"));
               CHECK(bench.manager.stats().waiters.empty());
               lease.release();
               CHECK(bench.manager.available_count() == 1);
               CHECK(shared().entered == 0);
             });
}

TEST_CASE("G6: stop() without a start, and starting twice, do nothing", "[G6]") {
  on_manager(options_for(both_backends()), [](Manager& manager) -> lp::Task<> {
    lp::WorkGrinder grinder(manager, of_two());
    const auto early = co_await failure_of(grinder.submit(square, 1));
    CHECK(early == Errc::not_started);
    co_await grinder.stop();
    co_await grinder.stop(true);
    co_await grinder.start();
    co_await grinder.start();
    CHECK(grinder.stats().started);
    co_await grinder.stop();
  });
}

TEST_CASE("G6: a manager that is not running, or stops, fails the batches with its own error", "[G6]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    lp::LeasedExecutorManager manager(loop, options_for(backend));
    lp::WorkGrinder grinder(manager, of_two());
    co_await grinder.start();
    Answers answers;
    for (int i = 0; i < 2; ++i) grinder.submit_async(pass_gate, i, answers.taker<int>());
    co_await until(loop, [&] { return answers.count == 2; });
    CHECK(answers.codes == std::vector<Errc>(2, Errc::not_started));
    CHECK_THAT(answers.messages.at(0), ContainsSubstring("the manager is not running"));
    CHECK(grinder.stats().batches_without_lease == 1);
    co_await manager.start();
    for (int i = 0; i < 6; ++i) grinder.submit_async(pass_gate, i, answers.taker<int>());
    co_await until_entered(loop, 2);
    bool stopped = false;
    manager.stop_async([&](lp::Result<void>) { stopped = true; });
    open_gate();
    co_await until(loop, [&] { return stopped; });
    co_await grinder.stop();
    CHECK(answers.count == 8);
    CHECK(answers.failed == 6);  // those that ran were allowed to end
  });
}

TEST_CASE("G6, L6: a grinder that is destroyed cancels what is queued and in flight", "[G6][L6]") {
  on_manager(options_for(both_backends()), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto grinder = std::make_unique<lp::WorkGrinder>(manager, of_two());
    co_await grinder->start();
    Answers answers;
    for (int i = 0; i < 3; ++i) grinder->submit_async(pass_gate, i, answers.taker<int>());
    auto pending = grinder->enqueue(square, 1);
    const lp::GrinderCalls calls = grinder->with({.owner = "outlives it"});
    co_await until_entered(loop, 2);
    grinder.reset();
    CHECK(answers.count == 0);  // not inside the call
    co_await until(loop, [&] { return answers.count == 3; });
    CHECK(answers.codes == std::vector<Errc>(3, Errc::cancelled));
    const auto code = co_await failure_of(std::move(pending));
    CHECK(code == Errc::cancelled);
    const auto late = co_await failure_of(calls.submit(square, 1));
    CHECK(late == Errc::not_started);
    open_gate();
    co_await until(loop, [&] { return manager.leased_count() == 0; });
  });
}

TEST_CASE("L6: a manager may be destroyed before its grinder", "[L6]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    auto manager = std::make_unique<lp::LeasedExecutorManager>(loop, options_for(backend, 1, 1));
    lp::WorkGrinder grinder(*manager, of_two());
    co_await manager->start();
    co_await grinder.start();
    Answers answers;
    for (int i = 0; i < 4; ++i) grinder.submit_async(pass_gate, i, answers.taker<int>());
    co_await until_entered(loop, 1);
    open_gate();
    manager.reset();
    co_await until(loop, [&] { return answers.count == 4; });
    CHECK(answers.failed >= 2);
    const auto [a, b] =
        co_await lp::when_all(failure_of(grinder.submit(square, 1)), failure_of(grinder.submit(square, 2)));
    CHECK(a == Errc::not_started);
    CHECK(b == Errc::not_started);
    co_await grinder.stop();
  });
}

TEST_CASE("L6: a loop may be destroyed before its grinder, whose futures then do not hang", "[L6]") {
  const auto backend = both_backends();
  CAPTURE(backend == ExecutorBackend::thread ? "thread" : "process");
  close_gate();
  auto loop = std::make_unique<lp::Loop>();
  lp::LeasedExecutorManager manager(*loop, options_for(backend, 1, 1));
  lp::WorkGrinder grinder(manager, of_two());
  loop->block_on([](auto& m, auto& g) -> lp::Task<> {
    co_await m.start();
    co_await g.start();
  }(manager, grinder));
  std::vector<std::future<int>> futures;
  std::thread([&] {
    for (int i = 0; i < 3; ++i) futures.push_back(grinder.submit_from_thread(pass_gate, i));
  }).join();
  std::optional<lp::Pending<int>> pending;
  loop->block_on([](lp::Loop& l, auto& g, auto& p) -> lp::Task<> {
    co_await until_entered(l, 1);
    p.emplace(g.enqueue(pass_gate, 9));
  }(*loop, grinder, pending));
  open_gate();
  loop.reset();
  for (auto& future : futures) CHECK_THROWS(future.get());
  CHECK_FALSE(pending->done());
  CHECK_THROWS_AS(pending->cancel(), lp::LeasePoolError);
  CHECK_THROWS_AS(grinder.submit(square, 1), lp::LeasePoolError);
  std::thread([&] {
    auto late = grinder.submit_from_thread(square, 1);
    CHECK_THROWS_AS(late.get(), lp::LeasePoolError);
    CHECK_THROWS_AS(grinder.stats_from_thread(), lp::LeasePoolError);
  }).join();
  CHECK_FALSE(grinder.stats().started);
}
