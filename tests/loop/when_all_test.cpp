// Tests of when_all: results and exceptions in the order of the arguments, after all have ended.
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "catch.hpp"
#include "leasepool/loop.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"

using leasepool::Loop;
using leasepool::Task;
using leasepool::when_all;
using leasepool::test::Gate;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

namespace {

using Order = std::vector<std::string>;

Task<int> returns(int value) { co_return value; }

Task<> does_nothing() { co_return; }

// Notes its start, waits for the gate, notes its end.
Task<std::string> behind(Gate& gate, Order& order, std::string name) {
  order.push_back("+" + name);
  co_await gate;
  order.push_back("-" + name);
  co_return name;
}

Task<std::string> fails_behind(Gate& gate, Order& order, std::string name) {
  co_await gate;
  order.push_back("!" + name);
  throw std::runtime_error(name);
}

Task<> sleep_and_note(Loop& loop, leasepool::Duration delay, Order& order, std::string name) {
  co_await loop.sleep(delay);
  order.push_back(std::move(name));
}

// One turn of the loop at least, with nothing to wait for.
void turn(Loop& loop) {
  loop.stop();
  loop.run();
}

template <class T>
T run(Task<T> task) {
  Loop loop;
  return loop.block_on(std::move(task));
}

}  // namespace

TEST_CASE("when_all gives the results in the order of its arguments, whichever ends first", "[when_all]") {
  Loop loop;
  Gate a;
  Gate b;
  Gate c;
  Order order;
  std::string joined;
  const auto body = [](Gate& first, Gate& second, Gate& third, Order& seen, std::string& result) -> Task<> {
    auto all = when_all(behind(first, seen, "a"), behind(second, seen, "b"), behind(third, seen, "c"));
    const auto [x, y, z] = co_await all;
    result = x + y + z;
  };
  loop.spawn(body(a, b, c, order, joined));
  while (!c.has_waiter()) turn(loop);
  CHECK(order == Order{"+a", "+b", "+c"});
  c.open();
  a.open();
  turn(loop);
  CHECK(joined.empty());
  b.open();
  CHECK(order == Order{"+a", "+b", "+c", "-c", "-a", "-b"});
  CHECK(joined == "abc");
}

TEST_CASE("when_all takes every kind of awaitable, and gives std::monostate for void", "[when_all]") {
  const Watchdog watchdog("when_all did not end");
  Loop loop;
  const auto body = [](Loop& home) -> Task<int> {
    auto all = when_all(returns(1), home.sleep(1ms), does_nothing(), when_all(returns(2), returns(3)));
    auto results = co_await all;
    static_assert(
        std::is_same_v<decltype(results), std::tuple<int, std::monostate, std::monostate, std::tuple<int, int>>>);
    const auto [two, three] = std::get<3>(results);
    co_return std::get<0>(results) * 100 + two * 10 + three;
  };
  CHECK(loop.block_on(body(loop)) == 123);
}

TEST_CASE("when_all of nothing ends at once", "[when_all]") {
  const auto body = []() -> Task<bool> {
    const std::tuple<> nothing = co_await when_all();
    (void)nothing;
    const std::vector<int> none = co_await when_all(std::vector<Task<int>>());
    co_await when_all(std::vector<Task<>>());
    co_return none.empty();
  };
  CHECK(run(body()));
}

TEST_CASE("when_all moves results that cannot be copied", "[when_all]") {
  const auto body = []() -> Task<int> {
    const auto make = [](int value) -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(value); };
    auto both = when_all(make(1), make(2));
    auto [one, two] = co_await both;
    std::vector<Task<std::unique_ptr<int>>> tasks;
    tasks.push_back(make(3));
    tasks.push_back(make(4));
    auto all = when_all(std::move(tasks));
    const auto more = co_await all;
    co_return *one * 1000 + *two * 100 + *more.at(0) * 10 + *more.at(1);
  };
  CHECK(run(body()) == 1234);
}

TEST_CASE("when_all throws the first exception in the order of its arguments, after all have ended", "[when_all]") {
  Loop loop;
  Gate a;
  Gate b;
  Gate c;
  Order order;
  const auto body = [](Gate& first, Gate& second, Gate& third, Order& seen, bool vector) -> Task<> {
    try {
      if (vector) {
        std::vector<Task<std::string>> tasks;
        tasks.push_back(behind(first, seen, "a"));
        tasks.push_back(fails_behind(second, seen, "b"));
        tasks.push_back(fails_behind(third, seen, "c"));
        auto all = when_all(std::move(tasks));
        co_await all;
      } else {
        auto all = when_all(behind(first, seen, "a"), fails_behind(second, seen, "b"), fails_behind(third, seen, "c"));
        co_await all;
      }
    } catch (const std::runtime_error& error) {
      seen.push_back(std::string("caught ") + error.what());
    }
  };
  loop.spawn(body(a, b, c, order, GENERATE(false, true)));
  while (!c.has_waiter()) turn(loop);
  c.open();
  b.open();
  CHECK(order == Order{"+a", "!c", "!b"});
  a.open();
  CHECK(order == Order{"+a", "!c", "!b", "-a", "caught b"});
}

TEST_CASE("when_all of a vector gives a vector, in the order of its tasks", "[when_all]") {
  const Watchdog watchdog("when_all did not end");
  Loop loop;
  const auto value_after = [](Loop& home, int value) -> Task<int> {
    co_await home.sleep(std::chrono::milliseconds(5 - value));
    co_return value;
  };
  const auto body = [&value_after](Loop& home) -> Task<std::vector<int>> {
    std::vector<Task<int>> tasks;
    for (int value = 0; value < 5; ++value) tasks.push_back(value_after(home, value));
    auto all = when_all(std::move(tasks));
    co_return co_await all;
  };
  CHECK(loop.block_on(body(loop)) == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("when_all of a vector of bools and of tasks without result", "[when_all]") {
  const auto body = []() -> Task<int> {
    const auto truth = [](bool value) -> Task<bool> { co_return value; };
    std::vector<Task<bool>> bools;
    bools.push_back(truth(true));
    bools.push_back(truth(false));
    auto all_bools = when_all(std::move(bools));
    const std::vector<bool> values = co_await all_bools;

    int ran = 0;
    const auto count = [](int& counted) -> Task<> {
      ++counted;
      co_return;
    };
    std::vector<Task<>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(count(ran));
    auto all = when_all(std::move(tasks));
    static_assert(std::is_void_v<decltype(all.await_resume())>);
    co_await all;
    co_return ran * 100 + (values.at(0) ? 10 : 0) + (values.at(1) ? 1 : 0);
  };
  CHECK(run(body()) == 310);
}

TEST_CASE("sleeps in a when_all run side by side", "[when_all]") {
  const Watchdog watchdog("when_all did not end");
  Loop loop;
  Order order;
  const auto body = [](Loop& home, Order& seen) -> Task<> {
    auto all = when_all(sleep_and_note(home, 20ms, seen, "c"), sleep_and_note(home, 1ms, seen, "a"),
                        sleep_and_note(home, 10ms, seen, "b"));
    co_await all;
    seen.emplace_back("all");
  };
  loop.block_on(body(loop, order));
  CHECK(order == Order{"a", "b", "c", "all"});
}

TEST_CASE("destroying a task in the middle of a when_all destroys every branch of it", "[when_all]") {
  const auto token = std::make_shared<int>(0);
  Gate gate;
  const auto hold = [](Loop& home, std::shared_ptr<int> kept) -> Task<> {
    co_await home.sleep(1h);
    ++*kept;
  };
  const auto pass = [](Gate& waits, std::shared_ptr<int> kept) -> Task<> {
    co_await waits;
    ++*kept;
  };
  const auto body = [&hold, &pass](Loop& home, Gate& waits, std::shared_ptr<int> kept) -> Task<> {
    std::vector<Task<>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(hold(home, kept));
    auto nested = when_all(std::move(tasks));
    auto all = when_all(hold(home, kept), pass(waits, kept), std::move(nested), returns(1));
    co_await all;
    ++*kept;
  };
  {
    Loop loop;
    loop.spawn(body(loop, gate, token));
    while (!gate.has_waiter()) turn(loop);
    CHECK(token.use_count() >= 6);
    SECTION("while all wait") {}
    SECTION("after one has ended") {
      gate.open();
      CHECK(*token == 1);
    }
  }
  CHECK(token.use_count() == 1);
  CHECK(*token <= 1);
}

TEST_CASE("a when_all that is never awaited starts nothing and destroys its tasks", "[when_all]") {
  const auto token = std::make_shared<int>(0);
  const auto count = [](std::shared_ptr<int> kept) -> Task<> {
    ++*kept;
    co_return;
  };
  {
    const auto unused = when_all(count(token), count(token));
    CHECK(token.use_count() == 3);
  }
  CHECK(token.use_count() == 1);
  CHECK(*token == 0);
}

TEST_CASE("when_all of 10,000 tasks that sleep ends once, with all results", "[when_all]") {
  const Watchdog watchdog("when_all did not end");
  Loop loop;
  const auto value_after = [](Loop& home, int value) -> Task<int> {
    co_await home.sleep(std::chrono::microseconds(value * 7919 % 1000));
    co_return value;
  };
  const auto body = [&value_after](Loop& home) -> Task<bool> {
    std::vector<Task<int>> tasks;
    for (int value = 0; value < 10'000; ++value) tasks.push_back(value_after(home, value));
    auto all = when_all(std::move(tasks));
    const std::vector<int> values = co_await all;
    for (int value = 0; value < 10'000; ++value) {
      if (values.at(static_cast<std::size_t>(value)) != value) co_return false;
    }
    co_return values.size() == 10'000;
  };
  CHECK(loop.block_on(body(loop)));
}

TEST_CASE("300,000 when_alls of ready tasks, one after the other, do not use up the stack", "[when_all]") {
  const Watchdog watchdog("awaiting ready tasks takes for ever");
  const auto sum = []() -> Task<long> {
    long total = 0;
    for (int i = 0; i < 300'000; ++i) {
      auto both = when_all(returns(1), returns(2));
      const auto [one, two] = co_await both;
      total += one + two;
    }
    co_return total;
  };
  CHECK(run(sum()) == 900'000);
}
