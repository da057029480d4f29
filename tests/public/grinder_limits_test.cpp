// G7 to G10 of the contract: other threads, parts that fail, bounds, and leases that expire; and what options may be.
#include <future>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "grinder_support.hpp"

TEST_CASE("G7: other threads submit and look, and the loop's own may not", "[G7][L5]") {
  on_grinder(both_backends(), {.batch_size_threshold = 4, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    std::vector<std::uint64_t> results;
    std::size_t pending = 0;
    std::atomic<bool> ended = false;
    std::thread other([&] {
      std::vector<std::future<std::uint64_t>> futures;
      for (std::uint64_t i = 1; i <= 3; ++i) futures.push_back(bench.grinder.submit_from_thread(square, i));
      pending = bench.grinder.stats_from_thread().pending;
      futures.push_back(bench.grinder.with({.owner = "thread"}).submit_from_thread(square, 4));
      for (auto& future : futures) results.push_back(future.get());
      ended = true;
    });
    co_await until(bench.loop, [&] { return ended.load(); });
    other.join();
    CHECK(pending == 3);
    CHECK(results == std::vector<std::uint64_t>{1, 4, 9, 16});
    Errc own{};
    try {
      (void)bench.grinder.submit_from_thread(square, 1);
    } catch (const lp::LeasePoolError& error) {
      own = static_cast<Errc>(error.code().value());
    }
    CHECK(own == Errc::wrong_thread);
    CHECK_THROWS_AS(bench.grinder.stats_from_thread(), lp::LeasePoolError);
    CHECK(bench.grinder.stats().items_submitted == 4);
  });
}

TEST_CASE("G7: what belongs to the loop's thread throws wrong_thread elsewhere and changes nothing", "[G7][L5]") {
  on_grinder(both_backends(), {.batch_size_threshold = 1, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    std::vector<Errc> codes;
    auto pending = bench.grinder.with({.owner = "left alone"}).enqueue(pass_gate, 1);
    co_await until_entered(bench.loop, 1);
    std::thread([&] {
      const auto of = [&](auto call) {
        try {
          call();
        } catch (const lp::LeasePoolError& error) {
          codes.push_back(static_cast<Errc>(error.code().value()));
        }
      };
      auto& grinder = bench.grinder;
      const auto ignore = [](const auto&) {};
      const auto submits = [&](const auto& verbs, auto... function_and_argument) {
        of([&] { (void)verbs.submit(function_and_argument...); });
        of([&] { verbs.submit_async(function_and_argument..., ignore); });
        of([&] { (void)verbs.submit_when_room(function_and_argument...); });
        of([&] { verbs.submit_when_room_async(function_and_argument..., ignore); });
        of([&] { (void)verbs.enqueue(function_and_argument...); });
      };
      submits(grinder, square, 1);
      submits(grinder.with({.owner = "x"}), square, 1);
      submits(grinder.batch([](std::vector<int> numbers) { return numbers; }), 1);
      of([&] { pending.cancel(); });
      of([&] { (void)grinder.start(); });
      of([&] { (void)grinder.stop(); });
      of([&] { (void)grinder.stop(true); });
      of([&] { grinder.start_async(ignore); });
      of([&] { grinder.stop_async(ignore); });
      of([&] { grinder.stop_async(true, ignore); });
      of([&] { (void)grinder.stats(); });
      of([&] { const lp::WorkGrinder another(bench.manager); });
    }).join();
    CHECK(codes == std::vector<Errc>(24, Errc::wrong_thread));
    CHECK(bench.grinder.stats().items_submitted == 1);
    CHECK(bench.grinder.stats().waiting_for_room == 0);
    CHECK(bench.grinder.stats().started);
    open_gate();
    const int one = co_await pending;
    CHECK(one == 1);
  });
}

TEST_CASE("G8: what of a batch cannot be submitted fails, and the rest has its results", "[G8]") {
  on_grinder(both_backends(), {.batch_size_threshold = 6, .max_wait = 1h},
             [](Bench& bench) -> lp::Task<> {
               Answers answers;
               std::vector<int> results;
               for (int i = 0; i < 6; ++i) {
                 bench.grinder.submit_async(pass_gate, i, [&](lp::Result<int> result) {
                   answers.add(result);
                   if (result) results.push_back(*result);
                 });
               }
               co_await until(bench.loop, [&] { return answers.count == 3; });
               CHECK(answers.codes == std::vector<Errc>(3, Errc::queue_full));
               open_gate();
               co_await until(bench.loop, [&] { return answers.count == 6; });
               CHECK(results == std::vector<int>{0, 1, 2});
               CHECK(bench.manager.leased_count() == 0);
             },
             {.workers = 1, .max_queued_calls = 2});
}

TEST_CASE("G8: an item that cannot go to another process fails alone", "[G8]") {
  on_grinder(ExecutorBackend::process, {.batch_size_threshold = 3, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    auto before = bench.grinder.enqueue(square, 2);
    auto lambda = bench.grinder.enqueue([] { return 1; });
    auto after = bench.grinder.enqueue(square, 3);
    const auto code = co_await failure_of(std::move(lambda));
    CHECK(code == Errc::unregistered_function);
    const std::uint64_t four = co_await before;
    const std::uint64_t nine = co_await after;
    CHECK(four + nine == 13);
  });
}

TEST_CASE("G9: max_pending bounds what waits", "[G9]") {
  on_grinder(
      both_backends(), {.batch_size_threshold = 1, .max_wait = 1h, .max_pending = 2}, [](Bench& bench) -> lp::Task<> {
        Answers answers;
        bench.grinder.submit_async(pass_gate, 0, answers.taker<int>());
        co_await until_entered(bench.loop, 1);
        for (int i = 1; i <= 2; ++i) bench.grinder.submit_async(pass_gate, i, answers.taker<int>());
        CHECK(bench.grinder.stats().pending == 2);
        const auto code = co_await failure_of(bench.grinder.submit(square, 3));
        CHECK(code == Errc::queue_full);
        const std::string message = co_await message_of(bench.grinder.with({.owner = "late"}).submit(square, 4));
        CHECK_THAT(message, ContainsSubstring("of \"late\" cannot be taken: max_pending = 2 items wait already"));
        CHECK(bench.grinder.stats().items_refused == 2);
        open_gate();
        co_await until(bench.loop, [&] { return answers.count == 3; });
        CHECK(answers.failed == 0);
        const std::uint64_t nine = co_await bench.grinder.submit(square, 3);
        CHECK(nine == 9);
      });
}

TEST_CASE("G9: submit_when_room waits for room, in order, and leaves the queue when its coroutine goes", "[G9]") {
  on_grinder(
      both_backends(), {.batch_size_threshold = 1, .max_wait = 1h, .max_pending = 1},
      [](Bench& bench) -> lp::Task<> {
        auto& grinder = bench.grinder;
        std::vector<int> order;
        const auto taker = [&](int i) { return [&order, i](lp::Result<int> r) { order.push_back(r ? i : -i); }; };
        grinder.submit_async(pass_gate, 1, taker(1));
        co_await until_entered(bench.loop, 1);
        grinder.submit_async(pass_gate, 2, taker(2));
        grinder.submit_when_room_async(pass_gate, 3, taker(3));
        {
          const auto waits = [](lp::WorkGrinder& to) -> lp::Task<> { co_await to.submit_when_room(pass_gate, 99); };
          lp::Task<> abandoned = waits(grinder);
          begin(abandoned);
          CHECK(grinder.stats().waiting_for_room == 2);
        }
        CHECK(grinder.stats().waiting_for_room == 1);
        grinder.submit_when_room_async(pass_gate, 4, taker(4));
        // Nobody overtakes those who wait.
        const auto code = co_await failure_of(grinder.submit(square, 3));
        CHECK(code == Errc::queue_full);
        CHECK(order.empty());
        open_gate();
        co_await until(bench.loop, [&] { return order.size() == 4; });
        CHECK(order == std::vector<int>{1, 2, 3, 4});
        CHECK(shared().entered == 4);
        const std::uint64_t nine = co_await grinder.submit_when_room(square, 3);
        CHECK(nine == 9);
        // Those who still wait when it stops are told.
        close_gate();
        grinder.submit_async(pass_gate, 1, taker(1));
        co_await until_entered(bench.loop, 1);
        grinder.submit_async(pass_gate, 2, taker(2));
        grinder.submit_when_room_async(pass_gate, 5, taker(5));
        bool stopped = false;
        grinder.stop_async([&](lp::Result<void>) { stopped = true; });
        open_gate();
        co_await until(bench.loop, [&] { return stopped; });
        CHECK(order == std::vector<int>{1, 2, 3, 4, -5, 1, 2});
      },
      {.workers = 1});
}

TEST_CASE("G10: when a lease expires in the middle of a batch, what has ended has its result", "[G10]") {
  on_grinder(both_backends(), {.batch_size_threshold = 4, .max_wait = 1h, .lease_duration = 500ms},
             [](Bench& bench) -> lp::Task<> {
               Answers quick;
               Answers stuck;
               bench.grinder.submit_async(square, 3, quick.taker<std::uint64_t>());
               for (int i = 0; i < 3; ++i) bench.grinder.submit_async(pass_gate, i, stuck.taker<int>());
               co_await until(bench.loop, [&] { return quick.count == 1; });
               CHECK(quick.failed == 0);
               CHECK(stuck.count == 0);
               co_await until(bench.loop, [&] { return stuck.count == 3; });
               CHECK(stuck.codes == std::vector<Errc>(3, Errc::lease_expired));
               CHECK(bench.manager.stats().leases_revoked == 1);
               const bool processes = bench.manager.backend() == ExecutorBackend::process;
               CHECK(bench.manager.stats().workers_killed == (processes ? 2 : 0));  // threads run on
               CHECK(bench.grinder.stats().batches_in_flight == 0);
               open_gate();  // with the replacement, the next batch goes
               bench.grinder.submit_async(square, 1, quick.taker<std::uint64_t>());
               for (int i = 0; i < 3; ++i) bench.grinder.submit_async(pass_gate, i, quick.taker<int>());
               co_await until(bench.loop, [&] { return quick.count == 5; });
               CHECK(quick.failed == 0);
             },
             {.workers = 2, .lease_grace = 0ms});
}

TEST_CASE("G1: an item's timeout ends it, and priorities are taken first", "[G1]") {
  on_grinder(both_backends(), {.batch_size_threshold = 1, .max_wait = 1h},
             [](Bench& bench) -> lp::Task<> {
               const auto code = co_await failure_of(bench.grinder.with({.timeout = 5ms}).submit(wait_for_stop));
               CHECK(code == Errc::timed_out);
               co_await until(bench.loop, [&] { return bench.manager.leased_count() == 0; });
               std::vector<int> order;
               const auto taker = [&](int i) { return [&order, i](lp::Result<int>) { order.push_back(i); }; };
               shared().entered = 0;
               bench.grinder.submit_async(pass_gate, 0, taker(0));
               co_await until_entered(bench.loop, 1);
               bench.grinder.with({.priority = -1}).submit_async(pass_gate, 1, taker(1));
               bench.grinder.submit_async(pass_gate, 2, taker(2));
               bench.grinder.with({.priority = 1}).submit_async(pass_gate, 3, taker(3));
               open_gate();
               co_await until(bench.loop, [&] { return order.size() == 4; });
               CHECK(order == std::vector<int>{0, 3, 2, 1});
             },
             {.workers = 1});
}

namespace {

template <class Change>
std::string refused_grinder(Change change) {
  lp::Loop loop;
  lp::LeasedExecutorManager manager(loop, options_for(ExecutorBackend::thread));
  lp::GrinderOptions options;
  change(options);
  try {
    const lp::WorkGrinder grinder(manager, options);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("a grinder's options are refused with the option, its value and what it may be", "[A6]") {
  CHECK(refused_grinder([](auto&) {}).empty());
  CHECK(refused_grinder([](auto& o) { o.batch_size_threshold = 0; }) ==
        "leasepool: GrinderOptions::batch_size_threshold = 0 must be at least 1 and at most 65536");
  CHECK(refused_grinder([](auto& o) { o.batch_size_threshold = 65'537; }) ==
        "leasepool: GrinderOptions::batch_size_threshold = 65537 must be at least 1 and at most 65536");
  CHECK(refused_grinder([](auto& o) { o.max_wait = 0s; }) ==
        "leasepool: GrinderOptions::max_wait = 0 s must be positive (Duration::max() means never)");
  CHECK(refused_grinder([](auto& o) { o.lease_duration = -1s; }) ==
        "leasepool: GrinderOptions::lease_duration = -1 s must be positive (Duration::max() means never)");
  CHECK(refused_grinder([](auto& o) { o.ageing = 0s; }) ==
        "leasepool: GrinderOptions::ageing = 0 s must be positive (Duration::max() means never)");
  CHECK(refused_grinder([](auto& o) { o.stop_timeout = -1ms; }) ==
        "leasepool: GrinderOptions::stop_timeout = -1 ms must not be negative (it may be zero)");
  CHECK_THAT(refused_grinder([](auto& o) { o.owner_prefix = ""; }),
             ContainsSubstring("GrinderOptions::owner_prefix = \"\" must be 1 to 64 bytes"));
  CHECK(refused_grinder([](auto& o) {
          o.max_wait = o.lease_duration = o.ageing = o.stop_timeout = lp::Duration::max();
          o.max_pending = o.max_inflight_batches = static_cast<std::size_t>(-1);
        }).empty());
}

TEST_CASE("an item's options are refused, too", "[A6]") {
  lp::Loop loop;
  lp::LeasedExecutorManager manager(loop, options_for(ExecutorBackend::thread));
  const lp::WorkGrinder grinder(manager);
  CHECK_THROWS_WITH(grinder.with({.priority = 1001}), "leasepool: ItemOptions::priority = 1001 must be -1000 to 1000");
  CHECK_THROWS_WITH(grinder.with({.priority = -1001}),
                    "leasepool: ItemOptions::priority = -1001 must be -1000 to 1000");
  CHECK_THROWS_WITH(grinder.with({.timeout = 0s}),
                    "leasepool: ItemOptions::timeout = 0 s must be positive (Duration::max() means never)");
  CHECK_NOTHROW(grinder.with({.owner = "x", .priority = 1000, .timeout = lp::Duration::max()}));
}
