// G1 to G5 of the contract: when batches go, what they do, and what cannot hold them back.
#include <csignal>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "grinder_support.hpp"

TEST_CASE("G1: a batch goes when enough items wait", "[G1]") {
  on_grinder(both_backends(), {.batch_size_threshold = 3, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    auto& grinder = bench.grinder;
    Answers answers;
    for (std::uint64_t i = 1; i <= 2; ++i) grinder.submit_async(square, i, answers.taker<std::uint64_t>());
    co_await bench.loop.sleep(2ms);
    CHECK(grinder.stats().pending == 2);
    CHECK(answers.count == 0);
    for (std::uint64_t i = 3; i <= 7; ++i) grinder.submit_async(square, i, answers.taker<std::uint64_t>());
    co_await until(bench.loop, [&] { return answers.count == 6; });
    co_await bench.loop.sleep(2ms);
    const lp::GrinderStats stats = grinder.stats();
    CHECK(answers.count == 6);
    CHECK(answers.failed == 0);
    CHECK(stats.pending == 1);
    CHECK(stats.flushed_by_size == 2);
    CHECK(stats.flushed_by_age == 0);
    CHECK(stats.batch_sizes == std::vector<std::pair<std::size_t, std::uint64_t>>{{3, 2}});
    co_await grinder.stop();
    CHECK(answers.count == 7);
  });
}

TEST_CASE("G1: a batch goes when its first item has waited for max_wait, whatever came later", "[G1]") {
  // tests/sim/grinder_age_test.cpp has the exact time.
  on_grinder(both_backends(), {.batch_size_threshold = 100, .max_wait = 400ms}, [](Bench& bench) -> lp::Task<> {
    const auto begin = std::chrono::steady_clock::now();
    auto first = bench.grinder.enqueue(square, 1);
    co_await bench.loop.sleep(250ms);
    auto later = bench.grinder.enqueue(square, 2);
    const std::uint64_t one = co_await first;
    const auto waited = std::chrono::steady_clock::now() - begin;
    CHECK(one == 1);
    CHECK(waited >= 400ms);
    const std::uint64_t four = co_await later;
    CHECK(four == 4);
    const lp::GrinderStats stats = bench.grinder.stats();
    CHECK(stats.batches_flushed == 1);  // the later one did not begin a wait of its own
    CHECK(stats.flushed_by_age == 1);
    CHECK(stats.item_wait.max >= 400ms);
  });
}

TEST_CASE("G1: nothing keeps waiting for what has gone: the next item begins anew", "[G1]") {
  on_grinder(both_backends(), {.batch_size_threshold = 100, .max_wait = 30ms}, [](Bench& bench) -> lp::Task<> {
    for (std::uint64_t i = 2; i <= 3; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      const std::uint64_t result = co_await bench.grinder.submit(square, i);
      CHECK(result == i * i);
      CHECK(std::chrono::steady_clock::now() - begin >= 30ms);
    }
  });
}

TEST_CASE("G2: a batch has one lease, runs in parallel, completes each item by itself, and gives the lease back",
          "[G2]") {
  on_grinder(both_backends(), {.batch_size_threshold = 4, .max_wait = 1h, .owner_prefix = "crusher"},
             [](Bench& bench) -> lp::Task<> {
               Answers gated;
               Answers quick;
               for (int i = 0; i < 2; ++i) bench.grinder.submit_async(pass_gate, i, gated.taker<int>());
               for (std::uint64_t i = 0; i < 2; ++i)
                 bench.grinder.submit_async(square, i, quick.taker<std::uint64_t>());
               co_await until_entered(bench.loop, 2);  // both at the same time
               co_await until(bench.loop, [&] { return quick.count == 2; });
               CHECK(gated.count == 0);
               const lp::ManagerStats manager = bench.manager.stats();
               REQUIRE(manager.leases.size() == 1);
               CHECK(manager.leases[0].owner == "crusher-1");
               CHECK_THAT(manager.leases[0].acquired_at, ContainsSubstring("grinder_support.hpp"));
               CHECK(bench.grinder.stats().batches_in_flight == 1);
               CHECK(bench.grinder.stats().items_in_flight == 2);
               open_gate();
               co_await until(bench.loop, [&] { return gated.count == 2; });
               CHECK(bench.manager.leased_count() == 0);
               CHECK(bench.manager.stats().acquired == 1);
               CHECK(bench.grinder.stats().batches_in_flight == 0);
             },
             {.workers = 3});
}

TEST_CASE("G2: a result comes as soon as it exists, though the same worker has what comes after it", "[G2]") {
  on_grinder(both_backends(), {.batch_size_threshold = 2, .max_wait = 1h},
             [](Bench& bench) -> lp::Task<> {
               auto quick = bench.grinder.enqueue(square, 3);
               auto slow = bench.grinder.enqueue(pass_gate, 4);
               const std::uint64_t nine = co_await quick;
               CHECK(nine == 9);
               co_await until_entered(bench.loop, 1);
               CHECK_FALSE(slow.done());
               open_gate();
               const int four = co_await slow;
               CHECK(four == 4);
               CHECK(bench.grinder.stats().batches_flushed == 1);
             },
             {.workers = 1});
}

TEST_CASE("G2: a Pending is done once its outcome is there, and stays so", "[G2]") {
  on_grinder(both_backends(), {.batch_size_threshold = 2, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    auto gated = bench.grinder.enqueue(pass_gate, 1);
    auto failing = bench.grinder.enqueue(throw_out_of_range, "too far");
    CHECK_FALSE(gated.done());
    bool awaited = false;
    bench.loop.spawn([](auto& pending, bool& flag) -> lp::Task<> {
      co_await pending;
      flag = true;
    }(gated, awaited));
    co_await until_entered(bench.loop, 1);
    CHECK_FALSE(gated.done());  // being awaited, it is not done yet
    co_await until(bench.loop, [&] { return failing.done(); });
    CHECK_THROWS_AS(co_await failing, std::out_of_range);
    CHECK(failing.done());
    open_gate();
    co_await until(bench.loop, [&] { return gated.done(); });
    co_await until(bench.loop, [&] { return awaited; });
    CHECK(gated.done());
    CHECK_THROWS_AS(gated.operator co_await(), std::logic_error);
    auto moved = std::move(gated);
    CHECK(moved.done());
    CHECK_FALSE(gated.done());  // NOLINT(bugprone-use-after-move)
  });
}

TEST_CASE("G2: results are each submitter's own, moved or void, and come back to coroutines in any order", "[G2]") {
  on_grinder(both_backends(), {.batch_size_threshold = 5, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    auto& grinder = bench.grinder;
    auto a = grinder.enqueue(square, 7);
    auto b = grinder.enqueue(join, "grin", std::string("der"));
    auto c = grinder.enqueue(nothing);
    auto d = grinder.enqueue(boxed, 5);
    auto [e, f] = co_await lp::when_all(grinder.submit(square, 8), std::move(a));
    CHECK(e == 64);
    CHECK(f == 49);
    const std::unique_ptr<int> five = co_await d;
    CHECK(*five == 5);
    co_await c;
    const std::string word = co_await b;
    CHECK(word == "grinder");
    CHECK_THROWS_AS(b.operator co_await(), std::logic_error);
  });
}

TEST_CASE("G3: an item that throws fails alone", "[G3]") {
  on_grinder(both_backends(), {.batch_size_threshold = 3, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    auto before = bench.grinder.enqueue(square, 2);
    auto culprit = bench.grinder.enqueue(throw_out_of_range, "too far");
    auto after = bench.grinder.enqueue(square, 3);
    std::string thrown;
    try {
      co_await culprit;
    } catch (const std::out_of_range& error) {
      thrown = error.what();
    }
    CHECK(thrown == "too far");
    const std::uint64_t four = co_await before;
    const std::uint64_t nine = co_await after;
    CHECK(four == 4);
    CHECK(nine == 9);
    const lp::GrinderStats stats = bench.grinder.stats();
    CHECK(stats.items_completed == 2);
    CHECK(stats.items_failed == 1);
  });
}

TEST_CASE("G3: a crash fails only the item that the worker was running", "[G3]") {
  for (const std::size_t workers : {1U, 3U}) {
    on_grinder(ExecutorBackend::process, {.batch_size_threshold = 20, .max_wait = 1h},
               [](Bench& bench) -> lp::Task<> {
                 Answers answers;
                 Answers crash;
                 for (std::uint64_t i = 0; i < 10; ++i)
                   bench.grinder.submit_async(square, i, answers.taker<std::uint64_t>());
                 bench.grinder.submit_async(die_by_signal, SIGSEGV, crash.taker<int>());
                 for (std::uint64_t i = 0; i < 9; ++i)
                   bench.grinder.submit_async(square, i, answers.taker<std::uint64_t>());
                 co_await until(bench.loop, [&] { return answers.count == 19 && crash.count == 1; });
                 CHECK(answers.failed == 0);
                 CHECK(crash.codes == std::vector<Errc>{Errc::worker_crashed});
                 CHECK_THAT(crash.messages.at(0), ContainsSubstring("SIGSEGV"));
               },
               {.workers = workers});
  }
}

TEST_CASE("G4: a slow batch does not hold back the next while the manager has pools", "[G4]") {
  on_grinder(both_backends(), {.batch_size_threshold = 2, .max_wait = 1h},
             [](Bench& bench) -> lp::Task<> {
               Answers slow;
               for (int i = 0; i < 2; ++i) bench.grinder.submit_async(pass_gate, i, slow.taker<int>());
               co_await until_entered(bench.loop, 2);
               const auto [four, nine] =
                   co_await lp::when_all(bench.grinder.submit(square, 2), bench.grinder.submit(square, 3));
               CHECK(four == 4);
               CHECK(nine == 9);
               CHECK(slow.count == 0);
               open_gate();
               co_await until(bench.loop, [&] { return slow.count == 2; });
             },
             {.max_pools = 2});
}

TEST_CASE("G4: max_inflight_batches bounds the overlap, and the next batch goes when one ends", "[G4]") {
  on_grinder(both_backends(), {.batch_size_threshold = 1, .max_wait = 1h, .max_inflight_batches = 2},
             [](Bench& bench) -> lp::Task<> {
               Answers answers;
               for (int i = 0; i < 5; ++i) bench.grinder.submit_async(pass_gate, i, answers.taker<int>());
               co_await until_entered(bench.loop, 2);
               co_await bench.loop.sleep(2ms);
               CHECK(bench.grinder.stats().batches_in_flight == 2);
               CHECK(bench.grinder.stats().pending == 3);
               CHECK(bench.manager.leased_count() == 2);
               open_gate();
               co_await until(bench.loop, [&] { return answers.count == 5; });
               CHECK(answers.failed == 0);
               CHECK(bench.grinder.stats().batches_flushed == 5);
             },
             {.max_pools = 4});
}

TEST_CASE("G1, G4: batches that find no pool wait for one, and take what has come meanwhile", "[G1][G4]") {
  on_grinder(both_backends(), {.batch_size_threshold = 4, .max_wait = 5ms}, [](Bench& bench) -> lp::Task<> {
    auto lease = co_await bench.manager.acquire({.owner = "somebody else"});
    auto first = bench.grinder.enqueue(square, 1);
    co_await until(bench.loop, [&] { return bench.grinder.stats().batches_waiting == 1; });
    auto second = bench.grinder.enqueue(square, 2);
    CHECK(bench.grinder.stats().pending == 2);
    lease.release();
    const std::uint64_t four = co_await second;
    CHECK(four == 4);
    const std::uint64_t one = co_await first;
    CHECK(one == 1);
    CHECK(bench.grinder.stats().batches_flushed == 1);
  });
}

TEST_CASE("G5: a pending item that is cancelled is gone at once", "[G5]") {
  on_grinder(both_backends(), {.batch_size_threshold = 3, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    auto& grinder = bench.grinder;
    auto first = grinder.with({.owner = "a"}).enqueue(pass_gate, 1);
    auto second = grinder.with({.owner = "b"}).enqueue(pass_gate, 2);
    CHECK(grinder.stats().pending == 2);
    CHECK(grinder.stats().pending_by_owner == std::vector<std::pair<std::string, std::size_t>>{{"a", 1}, {"b", 1}});
    first.cancel();
    CHECK(grinder.stats().pending == 1);
    CHECK(grinder.stats().items_cancelled == 1);
    CHECK_FALSE(first.done());  // nothing is delivered inside the call
    first.cancel();             // once is enough
    const std::string message = co_await message_of(std::move(first));
    CHECK_THAT(message, ContainsSubstring("of \"a\" was cancelled before it ran"));
    auto third = grinder.enqueue(square, 3);
    co_await bench.loop.sleep(2ms);
    CHECK(grinder.stats().pending == 2);  // the cancelled one does not count towards the threshold
    auto fourth = grinder.enqueue(square, 4);
    open_gate();
    const std::uint64_t sixteen = co_await fourth;
    CHECK(sixteen == 16);
    const int two = co_await second;
    CHECK(two == 2);
    CHECK(shared().entered == 1);  // the cancelled one never ran
    (void)third;
  });
}

TEST_CASE("G5: a cancelled item withdraws the lease that was asked for because of it", "[G5]") {
  on_grinder(both_backends(), {.batch_size_threshold = 1, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    auto lease = co_await bench.manager.acquire();
    auto item = bench.grinder.enqueue(square, 1);
    CHECK(bench.grinder.stats().batches_waiting == 1);
    CHECK(bench.manager.stats().waiters.size() == 1);
    item.cancel();
    CHECK(bench.grinder.stats().batches_waiting == 0);
    CHECK(bench.manager.stats().waiters.empty());
    lease.release();
    // Cancelled when the lease is on its way: it goes back.
    auto other = bench.grinder.enqueue(square, 1);
    CHECK(bench.manager.leased_count() == 1);
    other.cancel();
    co_await bench.loop.sleep(1ms);
    CHECK(bench.manager.leased_count() == 0);
    CHECK(bench.manager.available_count() == 1);
  });
}

TEST_CASE("G5: an item in flight that is cancelled ends as a call with a stop token does", "[G5]") {
  on_grinder(both_backends(), {.batch_size_threshold = 2, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    auto running = bench.grinder.enqueue(wait_for_stop);
    auto neighbour = bench.grinder.enqueue(pass_gate, 5);
    co_await until_entered(bench.loop, 2);
    running.cancel();
    std::optional<bool> stopped;
    std::optional<Errc> code;
    try {
      stopped = co_await running;
    } catch (const lp::LeasePoolError& error) {
      code = static_cast<Errc>(error.code().value());
    }
    if (bench.manager.backend() == ExecutorBackend::process) {
      CHECK(code == Errc::cancelled);
      CHECK(shared().left == 0);
    } else {
      CHECK(stopped == true);
    }
    CHECK_FALSE(neighbour.done());
    open_gate();
    const int five = co_await neighbour;
    CHECK(five == 5);
  });
}

TEST_CASE("G5: dropping a Pending detaches: the item runs, and nobody hears of it", "[G5]") {
  on_grinder(both_backends(), {.batch_size_threshold = 2, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    open_gate();
    (void)bench.grinder.enqueue(pass_gate, 1);
    const std::uint64_t four = co_await bench.grinder.submit(square, 2);
    CHECK(four == 4);
    co_await until(bench.loop, [&] { return bench.grinder.stats().items_completed == 2; });
    CHECK(shared().left == 1);
    // A coroutine that is destroyed while it waits for a Pending that lives on.
    auto pending = bench.grinder.enqueue(pass_gate, 2);
    {
      bool resumed = false;
      auto waiting = [](auto& awaited, bool& flag) -> lp::Task<> {
        co_await awaited;
        flag = true;
      }(pending, resumed);
      begin(waiting);
    }
    const std::uint64_t nine = co_await bench.grinder.submit(square, 3);
    CHECK(nine == 9);
  });
}
