// Tests of tasks on a loop: block_on, spawn and sleep, and what becomes of tasks that are destroyed.
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "leasepool/loop.hpp"
#include "support/watchdog.hpp"

using leasepool::Duration;
using leasepool::Loop;
using leasepool::Task;
using leasepool::Timer;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

Task<int> answers(int value) { co_return value; }

Task<std::unique_ptr<std::string>> returns_move_only() { co_return std::make_unique<std::string>("only one"); }

Task<int> throws() {
  throw std::out_of_range("too far");
  co_return 0;
}

Task<> note(std::vector<int>& ran, int number) {
  ran.push_back(number);
  co_return;
}

Task<> sleep_and_note(Loop& loop, Duration delay, std::vector<int>& ran, int number) {
  co_await loop.sleep(delay);
  ran.push_back(number);
}

Task<> hold_and_sleep(Loop& loop, Duration delay, std::shared_ptr<int> token) {
  co_await loop.sleep(delay);
  ++*token;
}

// A turn or two of a loop that has nothing to wait for.
void run_briefly(Loop& loop) {
  const Timer end = loop.call_after(5ms, [&] { loop.stop(); });
  loop.run();
}

}  // namespace

TEST_CASE("block_on gives what the task returned", "[loop][block_on]") {
  const Watchdog watchdog("block_on() did not end");
  Loop loop;
  CHECK(loop.block_on(answers(42)) == 42);
  CHECK(*loop.block_on(returns_move_only()) == "only one");
  std::vector<int> ran;
  static_assert(std::is_void_v<decltype(loop.block_on(note(ran, 1)))>);
  loop.block_on(note(ran, 1));
  CHECK(ran == std::vector<int>{1});
}

TEST_CASE("block_on throws what the task threw, and can be used again", "[loop][block_on]") {
  const Watchdog watchdog("block_on() did not end");
  Loop loop;
  for (int round = 0; round < 3; ++round) {
    CHECK_THROWS_AS(loop.block_on(throws()), std::out_of_range);
    CHECK(loop.block_on(answers(round)) == round);
  }
}

TEST_CASE("block_on drives everything else while it waits", "[loop][block_on]") {
  const Watchdog watchdog("block_on() did not end");
  Loop loop;
  std::vector<int> ran;
  const Timer timer = loop.call_after(1ms, [&] { ran.push_back(2); });
  loop.post([&] { ran.push_back(1); });
  loop.block_on(sleep_and_note(loop, 10ms, ran, 3));
  CHECK(ran == std::vector<int>{1, 2, 3});
}

TEST_CASE("a spawned task starts on the next turn, in the order of the spawns", "[loop][spawn]") {
  const Watchdog watchdog("a spawned task did not run");
  Loop loop;
  std::vector<int> ran;
  for (const int number : {1, 2, 3}) loop.spawn(note(ran, number));
  CHECK(ran.empty());
  run_briefly(loop);
  CHECK(ran == std::vector<int>{1, 2, 3});
}

TEST_CASE("spawned tasks take turns", "[loop][spawn]") {
  const Watchdog watchdog("a spawned task did not end");
  Loop loop;
  std::vector<int> ran;
  loop.spawn(sleep_and_note(loop, 20ms, ran, 3));
  loop.spawn(sleep_and_note(loop, 0s, ran, 1));
  loop.spawn(sleep_and_note(loop, 10ms, ran, 2));
  loop.block_on(sleep_and_note(loop, 30ms, ran, 4));
  CHECK(ran == std::vector<int>{1, 2, 3, 4});
}

TEST_CASE("a spawned task may spawn others, and its frame goes when it ends", "[loop][spawn]") {
  const Watchdog watchdog("a spawned task did not end");
  Loop loop;
  const auto token = std::make_shared<int>(0);
  const auto family = [](Loop& home, std::shared_ptr<int> kept, int depth, const auto& self) -> Task<> {
    if (depth > 0) home.spawn(self(home, kept, depth - 1, self));
    ++*kept;
    co_return;
  };
  loop.spawn(family(loop, token, 99, family));
  run_briefly(loop);
  CHECK(*token == 100);
  CHECK(token.use_count() == 1);
}

TEST_CASE("a sleep is never early, measured from before the await", "[loop][sleep]") {
  const Watchdog watchdog("a sleep did not end");
  Loop loop;
  const auto body = [](Loop& home, int& early) -> Task<> {
    for (int round = 0; round < 200; ++round) {
      const Duration delay = std::chrono::microseconds(round * 13);
      const auto before = Clock::now();
      co_await home.sleep(delay);
      if (Clock::now() - before < delay) ++early;
    }
  };
  int early = 0;
  loop.block_on(body(loop, early));
  CHECK(early == 0);
}

TEST_CASE("a sleep of zero or less comes back on a later turn", "[loop][sleep]") {
  const Watchdog watchdog("a sleep did not end");
  Loop loop;
  std::vector<int> ran;
  const auto body = [](Loop& home, std::vector<int>& order) -> Task<> {
    home.post([&order] { order.push_back(1); });
    for (int turn = 0; turn < 3; ++turn) co_await home.sleep(0s);
    co_await home.sleep(-1s);
    order.push_back(2);
  };
  loop.block_on(body(loop, ran));
  CHECK(ran == std::vector<int>{1, 2});
}

TEST_CASE("a sleep of the longest duration never ends, and its task can still be destroyed", "[loop][sleep]") {
  const Watchdog watchdog("the timer at the end never ran");
  const auto token = std::make_shared<int>(0);
  {
    Loop loop;
    loop.spawn(hold_and_sleep(loop, Duration::max(), token));
    run_briefly(loop);
    CHECK(token.use_count() == 2);
  }
  CHECK(token.use_count() == 1);
  CHECK(*token == 0);
}

TEST_CASE("destroying a task that sleeps cancels its sleep", "[loop][sleep]") {
  const Watchdog watchdog("block_on() did not end");
  Loop loop;
  const auto token = std::make_shared<int>(0);
  // block_on destroys its task when an exception of something else ends it.
  loop.post([] { throw std::runtime_error("enough"); });
  CHECK_THROWS_WITH(loop.block_on(hold_and_sleep(loop, 1ms, token)), "enough");
  CHECK(token.use_count() == 1);
  run_briefly(loop);
  CHECK(*token == 0);
}

TEST_CASE("a task that is never awaited does nothing", "[loop][spawn]") {
  const auto token = std::make_shared<int>(0);
  Loop loop;
  {
    const Task<> unused = hold_and_sleep(loop, 0s, token);
    CHECK(token.use_count() == 2);
  }
  CHECK(token.use_count() == 1);
  run_briefly(loop);
  CHECK(*token == 0);
}

TEST_CASE("10,000 spawned tasks that sleep all end", "[loop][spawn]") {
  const Watchdog watchdog("a spawned task did not end");
  Loop loop;
  std::vector<int> ran;
  for (int i = 0; i < 10'000; ++i) loop.spawn(sleep_and_note(loop, std::chrono::microseconds(i % 100), ran, i));
  const auto wait = [](Loop& home, const std::vector<int>& done) -> Task<> {
    while (done.size() < 10'000) co_await home.sleep(100us);
  };
  loop.block_on(wait(loop, ran));
  CHECK(ran.size() == 10'000);
}

TEST_CASE("a task that was moved from is refused wherever it is handed over", "[loop][spawn]") {
  const auto token = std::make_shared<int>(0);
  Loop loop;
  Task<> task = hold_and_sleep(loop, 0s, token);
  CHECK_FALSE(task.empty());
  loop.spawn(std::move(task));
  // NOLINTBEGIN(bugprone-use-after-move): that is the point
  CHECK(task.empty());
  CHECK_THROWS_AS(loop.spawn(std::move(task)), std::invalid_argument);
  CHECK_THROWS_AS(loop.block_on(std::move(task)), std::invalid_argument);
  const auto await_it = [](Task<>& moved_from) -> Task<> { co_await moved_from; };
  CHECK_THROWS_AS(loop.block_on(await_it(task)), std::invalid_argument);
  // NOLINTEND(bugprone-use-after-move)
  run_briefly(loop);
  CHECK(*token == 1);
}
