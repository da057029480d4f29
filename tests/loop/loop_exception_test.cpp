// Tests of exceptions that leave callbacks and tasks: each leaves run() once, and takes nothing else along.
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"
#include "loop/loop_core.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"

using leasepool::Errc;
using leasepool::LeasePoolError;
using leasepool::Loop;
using leasepool::Task;
using leasepool::Timer;
using leasepool::test::Gate;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

namespace {

// Runs the loop until stop(), noting what left it on the way.
std::vector<std::string> run_noting(Loop& loop) {
  std::vector<std::string> thrown;
  for (;;) {
    try {
      loop.run();
      return thrown;
    } catch (const std::runtime_error& error) {
      thrown.emplace_back(error.what());
    }
  }
}

Task<> throws(std::string text) {
  throw std::runtime_error(text);
  co_return;
}

Task<> throws_behind(Gate& gate, std::string text) {
  co_await gate;
  throw std::runtime_error(text);
}

}  // namespace

TEST_CASE("what timers throw leaves run(), and the other due timers still run", "[loop][exceptions]") {
  const Watchdog watchdog("an exception took a timer along");
  Loop loop;
  std::vector<Timer> timers;
  for (const char* const text : {"a", "b", "c"}) {
    timers.push_back(loop.call_after(0s, [text] { throw std::runtime_error(text); }));
  }
  timers.push_back(loop.call_after(0s, [&] { loop.stop(); }));
  CHECK(run_noting(loop) == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("what posts throw leaves run(), and the other posts still run in order", "[loop][exceptions]") {
  const Watchdog watchdog("an exception took a post along");
  Loop loop;
  std::vector<int> ran;
  for (const int number : {1, 2, 3, 4}) {
    loop.post([&ran, number] {
      ran.push_back(number);
      if (number % 2 == 0) throw std::runtime_error(std::to_string(number));
    });
  }
  loop.stop();
  CHECK(run_noting(loop) == std::vector<std::string>{"2", "4"});
  CHECK(ran == std::vector<int>{1, 2, 3, 4});
}

TEST_CASE("what deferred callbacks throw leaves run(), and the others still run in order", "[loop][exceptions]") {
  const Watchdog watchdog("an exception took a deferred callback along");
  Loop loop;
  std::vector<int> ran;
  for (const int number : {1, 2, 3, 4}) {
    leasepool::detail::Access::core(loop)->defer([&ran, &loop, number] {
      ran.push_back(number);
      if (number == 4) loop.stop();
      if (number % 2 == 1) throw std::runtime_error(std::to_string(number));
    });
  }
  CHECK(run_noting(loop) == std::vector<std::string>{"1", "3"});
  CHECK(ran == std::vector<int>{1, 2, 3, 4});
}

TEST_CASE("what spawned tasks throw leaves run(), once for each though all end in one turn", "[loop][exceptions]") {
  const Watchdog watchdog("the exception of a task that ended in the same turn as another was forgotten");
  Loop loop;
  for (const char* const text : {"a", "b", "c"}) loop.spawn(throws(text));
  std::vector<std::string> thrown;
  while (thrown.size() < 3) {
    try {
      loop.run();  // nothing else would ever wake it
    } catch (const std::runtime_error& error) {
      thrown.emplace_back(error.what());
    }
  }
  CHECK(thrown == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("a task that ends in a turn that an exception leaves is reported by the next", "[loop][exceptions]") {
  const Watchdog watchdog("the exception of a task that ended in such a turn was forgotten");
  Loop loop;
  Gate gate;
  loop.spawn(throws_behind(gate, "task"));
  while (!gate.has_waiter()) {
    loop.stop();
    loop.run();
  }
  loop.post([&] { gate.open(); });
  loop.post([] { throw std::runtime_error("post"); });
  CHECK_THROWS_WITH(loop.run(), "post");
  CHECK_THROWS_WITH(loop.run(), "task");  // nothing else would ever wake it
}

TEST_CASE("an exception of a callback leaves block_on() and destroys the task it ran", "[loop][exceptions]") {
  const Watchdog watchdog("block_on() did not end");
  Loop loop;
  const auto token = std::make_shared<int>(0);
  const auto body = [](Loop& driver, std::shared_ptr<int> kept) -> Task<> {
    co_await driver.sleep(1h);
    ++*kept;
  };
  loop.post([] { throw std::runtime_error("from a post"); });
  CHECK_THROWS_WITH(loop.block_on(body(loop, token)), "from a post");
  CHECK(token.use_count() == 1);

  const auto still_usable = [](Loop& driver) -> Task<int> {
    co_await driver.sleep(1ms);
    co_return 7;
  };
  CHECK(loop.block_on(still_usable(loop)) == 7);
  CHECK(*token == 0);
}

TEST_CASE("a loop turns only once at a time", "[loop][misuse]") {
  const Watchdog watchdog("a nested run() was let in");
  Loop loop;
  const auto nothing = []() -> Task<> { co_return; };
  int refused = 0;
  const auto try_all = [&] {
    try {
      loop.block_on(nothing());
    } catch (const std::logic_error&) {
      ++refused;
    }
    CHECK_THROWS_AS(loop.run(), std::logic_error);
    CHECK_THROWS_AS(loop.dispatch(), std::logic_error);
  };
  SECTION("in a post") { loop.post(try_all); }
  SECTION("in a timer") {
    Timer keep = loop.call_after(0s, try_all);
    const Timer stop = loop.call_after(0s, [&] { loop.stop(); });
    loop.run();
  }
  SECTION("in a spawned task") {
    const auto body = [](const std::function<void()>& attempt) -> Task<> {
      attempt();
      co_return;
    };
    const std::function<void()> attempt = try_all;
    loop.block_on(body(attempt));
  }
  loop.stop();
  loop.run();
  CHECK(refused == 1);
}

TEST_CASE("members that belong to the loop's thread refuse any other by name", "[loop][misuse]") {
  const Watchdog watchdog("a call from another thread was let in");
  Loop loop;
  const auto nothing = [](int* ran) -> Task<> {
    ++*ran;
    co_return;
  };
  int ran = 0;
  std::vector<std::string> messages;
  const auto attempt = [&](const std::function<void()>& call) {
    try {
      call();
      messages.emplace_back("nothing thrown");
    } catch (const LeasePoolError& error) {
      messages.emplace_back(error.code() == Errc::wrong_thread ? error.what() : "another code");
    }
  };
  std::thread other([&] {
    attempt([&] { loop.run(); });
    attempt([&] { loop.dispatch(); });
    attempt([&] { loop.spawn(nothing(&ran)); });
    attempt([&] { loop.block_on(nothing(&ran)); });
    attempt([&] { const Timer timer = loop.call_after(0s, [&] { ++ran; }); });
    attempt([&] { (void)loop.poll_fd(); });
  });
  other.join();
  REQUIRE(messages.size() == 6);
  CHECK_THAT(messages[0], ContainsSubstring("run()"));
  CHECK_THAT(messages[1], ContainsSubstring("dispatch()"));
  CHECK_THAT(messages[2], ContainsSubstring("spawn()"));
  CHECK_THAT(messages[3], ContainsSubstring("block_on()"));
  CHECK_THAT(messages[4], ContainsSubstring("call_after()"));
  CHECK_THAT(messages[5], ContainsSubstring("poll_fd()"));
  loop.stop();
  loop.run();
  CHECK(ran == 0);
}

TEST_CASE("sleeping on a loop of another thread fails in the await", "[loop][misuse]") {
  const Watchdog watchdog("a sleep on another thread's loop was let in");
  Loop elsewhere;
  std::string message;
  std::thread other([&] {
    Loop own;
    const auto body = [](Loop& wrong) -> Task<> { co_await wrong.sleep(0s); };
    try {
      own.block_on(body(elsewhere));
    } catch (const LeasePoolError& error) {
      if (error.code() == Errc::wrong_thread) message = error.what();
    }
  });
  other.join();
  CHECK_THAT(message, ContainsSubstring("belongs to the loop's thread"));
}
