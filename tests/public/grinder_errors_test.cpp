// Whose items a grinder's errors are about, and what becomes of items whose batch gets no lease.
#include <algorithm>
#include <csignal>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "grinder_support.hpp"

TEST_CASE("errors of items in flight name the items' owners, and what functions throw stays as it is", "[G3]") {
  on_grinder(both_backends(), {.batch_size_threshold = 2, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    const auto of = [&](const char* owner) { return bench.grinder.with({.owner = owner}); };
    auto hangs = bench.grinder.with({.owner = "hal", .timeout = 5ms}).enqueue(wait_for_stop);
    Answers thrown;
    of("tom").submit_async(throw_out_of_range, "too far", thrown.taker<int>());
    const std::string hung = co_await message_of(std::move(hangs));
    CHECK_THAT(hung, Catch::Matchers::StartsWith("item of \"hal\": lease ") &&
                         ContainsSubstring("longer than CallOptions::timeout"));
    co_await until(bench.loop, [&] { return thrown.count == 1; });
    CHECK(thrown.messages == std::vector<std::string>{"too far"});
    if (bench.manager.backend() == ExecutorBackend::thread) co_return;

    Answers crashes;
    of("amy").submit_async(die_by_signal, SIGKILL, crashes.taker<int>());
    bench.grinder.submit_async(die_by_signal, SIGKILL, crashes.taker<int>());  // of nobody
    co_await until(bench.loop, [&] { return crashes.count == 2; });
    std::ranges::sort(crashes.messages);
    CHECK_THAT(crashes.messages.at(0),
               Catch::Matchers::StartsWith("item of \"amy\": lease ") && ContainsSubstring("SIGKILL"));
    CHECK_THAT(crashes.messages.at(1), Catch::Matchers::StartsWith("lease ") && ContainsSubstring("SIGKILL"));
    Answers reports;
    of("amy").submit_async(die_by_signal, SIGKILL, [&](const lp::Result<int>& result) {
      reports.add(result);
      REQUIRE(result.error().crash() != nullptr);  // the report stays with it
    });
    of("bob").submit_async(square, 1, reports.taker<std::uint64_t>());
    co_await until(bench.loop, [&] { return reports.count == 2; });
  });
}

TEST_CASE("G4: a batch that waits counts as one of max_waiters, and its items fail where there is no room",
          "[G4][A7]") {
  on_grinder(
      both_backends(), {.batch_size_threshold = 2, .max_wait = 1h},
      [](Bench& bench) -> lp::Task<> {
        auto lease = co_await bench.manager.acquire({.owner = "holder"});
        Answers answers;
        bench.grinder.submit_async(square, 1, answers.taker<std::uint64_t>());
        bench.grinder.submit_async(square, 2, answers.taker<std::uint64_t>());
        co_await until(bench.loop, [&] { return bench.grinder.stats().batches_waiting == 1; });
        const auto refused = co_await failure_of(bench.manager.acquire({.owner = "third"}));
        CHECK(refused == Errc::lease_unavailable);
        lease.release();
        co_await until(bench.loop, [&] { return answers.count == 2; });
        CHECK(answers.failed == 0);

        lease = co_await bench.manager.acquire({.owner = "holder"});
        bool served = false;
        bench.manager.acquire_async({.owner = "waiter"}, [&](const auto& result) { served = result.has_value(); });
        for (std::uint64_t i = 0; i < 2; ++i) {
          bench.grinder.with({.owner = "ann"}).submit_async(square, i, answers.taker<std::uint64_t>());
        }
        co_await until(bench.loop, [&] { return answers.count == 4; });
        CHECK(answers.codes == std::vector<Errc>(2, Errc::lease_unavailable));
        CHECK_THAT(answers.messages.at(0),
                   Catch::Matchers::StartsWith("item of \"ann\": test: ") && ContainsSubstring("max_waiters = 1"));
        CHECK(bench.grinder.stats().batches_without_lease == 1);
        CHECK(bench.grinder.stats().pending == 0);
        lease.release();
        co_await until(bench.loop, [&] { return served; });
      },
      {.max_waiters = 1});
}

TEST_CASE("a grinder's verbs refuse what cannot be called", "[bad_input]") {
  on_grinder(ExecutorBackend::thread, {}, [](Bench& bench) -> lp::Task<> {
    lp::WorkGrinder& grinder = bench.grinder;
    const auto refusal = [](const auto& attempt) -> std::string {
      try {
        attempt();
      } catch (const std::invalid_argument& error) {
        return error.what();
      }
      return "it was taken";
    };
    const auto needs = [](const std::string& verb, const std::string& what) {
      return "leasepool: " + verb + "() needs a " + what + ", and this one is empty";
    };
    int (*const no_function)(int) = nullptr;
    const std::function<std::vector<int>(std::vector<int>)> no_batch_function;
    const std::function<void(lp::Result<std::uint64_t>)> no_callback;
    const auto ignore = [](const auto&) {};
    CHECK(refusal([&] { (void)grinder.submit(no_function, 1); }) == needs("submit", "function"));
    CHECK(refusal([&] { (void)grinder.submit_when_room(no_function, 1); }) == needs("submit_when_room", "function"));
    CHECK(refusal([&] { (void)grinder.enqueue(no_function, 1); }) == needs("enqueue", "function"));
    CHECK(refusal([&] { grinder.submit_async(no_function, 1, ignore); }) == needs("submit_async", "function"));
    CHECK(refusal([&] { grinder.submit_async(square, 1, no_callback); }) == needs("submit_async", "callback"));
    CHECK(refusal([&] { grinder.submit_when_room_async(square, 1, no_callback); }) ==
          needs("submit_when_room_async", "callback"));
    CHECK(refusal([&] { (void)grinder.batch(no_batch_function); }) == needs("batch", "function"));
    std::string from_thread;
    std::thread([&] { from_thread = refusal([&] { (void)grinder.submit_from_thread(no_function, 1); }); }).join();
    CHECK(from_thread == needs("submit_from_thread", "function"));
    CHECK(grinder.stats().pending == 0);
    co_return;
  });
}
