// Tests of Task: laziness, results, exceptions, destruction at every point, and that awaiting costs no stack.
#include "leasepool/task.hpp"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "leasepool/loop.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"

using leasepool::Loop;
using leasepool::Task;
using leasepool::test::Gate;
using leasepool::test::Watchdog;

namespace {

// Runs a task that does not wait for anything outside.
template <class T>
T run(Task<T> task) {
  Loop loop;
  return loop.block_on(std::move(task));
}

Task<int> returns(int value) { co_return value; }

Task<> fails(std::string text) {
  throw std::runtime_error(text);
  co_return;
}

}  // namespace

TEST_CASE("a task starts when it is awaited", "[task]") {
  std::vector<std::string> order;
  const auto inner = [](std::vector<std::string>& seen) -> Task<int> {
    seen.emplace_back("inner");
    co_return 1;
  };
  const auto outer = [&inner](std::vector<std::string>& seen) -> Task<int> {
    Task<int> task = inner(seen);
    seen.emplace_back("created");
    const int value = co_await task;
    seen.emplace_back("back");
    co_return value;
  };
  CHECK(run(outer(order)) == 1);
  CHECK(order == std::vector<std::string>{"created", "inner", "back"});
}

TEST_CASE("an await gives what the task returned, also what cannot be copied or default-constructed", "[task]") {
  struct Value {
    explicit Value(int from) : number(from) {}
    int number;
  };
  const auto values = []() -> Task<int> {
    const auto make_value = []() -> Task<Value> { co_return Value(2); };
    const auto make_pointer = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(3); };
    const auto convert = []() -> Task<std::string> { co_return "four"; };
    const Value value = co_await make_value();
    const std::unique_ptr<int> pointer = co_await make_pointer();
    const std::string text = co_await convert();
    co_return value.number + *pointer + static_cast<int>(text.size());
  };
  CHECK(run(values()) == 9);
}

TEST_CASE("an await throws what the task threw, and the awaiting coroutine can go on", "[task]") {
  const auto body = []() -> Task<std::string> {
    std::string caught;
    for (const char* const text : {"a", "b"}) {
      try {
        co_await fails(text);
      } catch (const std::runtime_error& error) {
        caught += error.what();
      }
    }
    co_return caught;
  };
  CHECK(run(body()) == "ab");
}

TEST_CASE("an exception passes through every task that does not catch it", "[task]") {
  const auto deeper = [](int depth, const auto& self) -> Task<> {
    if (depth == 0) throw std::out_of_range("bottom");
    co_await self(depth - 1, self);
  };
  CHECK_THROWS_AS(run(deeper(100, deeper)), std::out_of_range);
}

TEST_CASE("a task owns its frame: destroyed before, during or after its run, once", "[task]") {
  const auto token = std::make_shared<int>(0);
  Gate gate;
  const auto body = [](Gate& waits, std::shared_ptr<int> kept) -> Task<> {
    const auto inner = [](Gate& waits_too, std::shared_ptr<int> kept_too) -> Task<> {
      co_await waits_too;
      ++*kept_too;
    };
    co_await inner(waits, kept);
    ++*kept;
  };
  SECTION("before") {
    const Task<> task = body(gate, token);
    CHECK(token.use_count() == 2);
  }
  SECTION("during") {
    Loop loop;
    loop.spawn(body(gate, token));
    loop.stop();
    loop.run();
    loop.stop();
    loop.run();
    CHECK(gate.has_waiter());
    CHECK(token.use_count() > 2);
  }
  SECTION("after") {
    Loop loop;
    loop.spawn(body(gate, token));
    loop.post([&] { loop.post([&] { gate.open(); }); });
    while (*token == 0) {
      loop.stop();
      loop.run();
    }
    loop.stop();
    loop.run();
    CHECK(token.use_count() == 1);
    CHECK(*token == 2);
  }
  CHECK(token.use_count() == 1);
}

TEST_CASE("a task can be moved and assigned before it is awaited", "[task]") {
  const auto token = std::make_shared<int>(0);
  const auto body = [](std::shared_ptr<int> kept, int value) -> Task<int> {
    *kept += value;
    co_return value;
  };
  Task<int> first = body(token, 1);
  Task<int> second = body(token, 2);
  first = std::move(second);
  CHECK(token.use_count() == 2);  // what was assigned to is gone
  std::optional<Task<int>> third(std::move(first));
  CHECK(run(std::move(*third)) == 2);
  third.reset();
  CHECK(*token == 2);
  CHECK(token.use_count() == 1);
}

TEST_CASE("1,000,000 tasks that are ready are awaited one after the other without using up the stack", "[task]") {
  const Watchdog watchdog("awaiting ready tasks takes for ever");
  const auto sum = []() -> Task<long> {
    long total = 0;
    for (int i = 0; i < 1'000'000; ++i) total += co_await returns(i % 10);
    co_return total;
  };
  CHECK(run(sum()) == 4'500'000);
}

TEST_CASE("100,000 failing tasks are awaited one after the other without using up the stack", "[task]") {
  const Watchdog watchdog("awaiting failing tasks takes for ever");
  const auto count = []() -> Task<int> {
    int caught = 0;
    for (int i = 0; i < 100'000; ++i) {
      try {
        co_await fails("again");
      } catch (const std::runtime_error&) {
        ++caught;
      }
    }
    co_return caught;
  };
  CHECK(run(count()) == 100'000);
}

TEST_CASE("a chain of 100,000 tasks that await each other ends without using up the stack", "[task]") {
  const Watchdog watchdog("a long chain of tasks takes for ever");
  const auto chain = [](int depth, const auto& self) -> Task<int> {
    if (depth == 0) co_return 0;
    co_return 1 + co_await self(depth - 1, self);
  };
  CHECK(run(chain(100'000, chain)) == 100'000);
}

TEST_CASE("a chain of 100,000 tasks of which the last one waits ends without using up the stack", "[task]") {
  const Watchdog watchdog("a long chain of tasks that waits takes for ever");
  Loop loop;
  const auto chain = [&loop](int depth, const auto& self) -> Task<int> {
    if (depth == 0) {
      co_await loop.sleep(leasepool::Duration(1));
      co_return 0;
    }
    co_return 1 + co_await self(depth - 1, self);
  };
  CHECK(loop.block_on(chain(100'000, chain)) == 100'000);
}

TEST_CASE("what is awaited a second time, or was moved from, says so", "[task]") {
  const auto message = [](auto& awaitable) -> Task<std::string> {
    try {
      co_await awaitable;
    } catch (const std::logic_error& error) {
      co_return error.what();
    }
    co_return "";
  };
  Loop loop;
  const auto twice = [&message](auto awaitable) -> Task<std::string> {
    co_await awaitable;
    const std::string again = co_await message(awaitable);
    co_return again;
  };
  const auto moved_from = [&message](auto awaitable) -> Task<std::string> {
    auto other = std::move(awaitable);
    const std::string of_first = co_await message(awaitable);  // NOLINT(bugprone-use-after-move): that is tested
    co_await other;
    co_return of_first;
  };
  CHECK(loop.block_on(twice(returns(1))) == "leasepool: a Task is awaited once, and this one was");
  CHECK(loop.block_on(moved_from(returns(1))) == "leasepool: this Task is empty: it was moved from");
  const std::string both = "leasepool: a when_all() is awaited once, and this one was, or was moved from";
  CHECK(loop.block_on(twice(leasepool::when_all(returns(1), returns(2)))) == both);
  CHECK(loop.block_on(moved_from(leasepool::when_all(returns(1), returns(2)))) == both);
  const std::string of_a_verb = "leasepool: an awaitable is awaited once, and this one was, or was moved from";
  CHECK(loop.block_on(twice(loop.sleep(leasepool::Duration(0)))) == of_a_verb);
  CHECK(loop.block_on(moved_from(loop.sleep(leasepool::Duration(0)))) == of_a_verb);
}
