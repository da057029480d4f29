// Tests of when_any: the first outcome, and that the others are destroyed before it is told.
#include "leasepool/when_any.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "catch.hpp"
#include "leasepool/loop.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"

namespace when_any_cases {

using leasepool::Loop;
using leasepool::Task;
using leasepool::when_any;
using leasepool::test::Gate;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

using Alive = std::shared_ptr<int>;  // its holders are counted

Task<std::string> behind(Gate& gate, Alive alive, std::string name) {
  co_await gate;
  co_return name + std::to_string(alive.use_count());
}

Task<int> fails_behind(Gate& gate, Alive alive) {
  co_await gate;
  (void)alive;
  throw std::runtime_error("the first");
}

Task<int> seven() { co_return 7; }

Task<> note(bool& started) {
  started = true;
  co_return;
}

}  // namespace when_any_cases

TEST_CASE("when_any returns the first outcome, with the others destroyed", "[when_any]") {
  using namespace when_any_cases;
  Loop loop;
  Gate a;
  Gate b;
  Gate c;
  const Alive alive = std::make_shared<int>();
  std::string told;
  const auto body = [](Gate& first, Gate& second, Gate& third, const Alive& held, std::string& result) -> Task<> {
    auto any = when_any(behind(first, held, "a"), behind(second, held, "b"), behind(third, held, "c"));
    const auto outcome = co_await any;
    static_assert(std::is_same_v<decltype(outcome), const std::variant<std::string, std::string, std::string>>);
    CHECK(outcome.index() == 1);
    CHECK(held.use_count() == 2);  // of the branch that has ended, too
    result = std::get<1>(outcome);
  };
  loop.spawn(body(a, b, c, alive, told));
  while (!c.has_waiter()) loop.dispatch();
  CHECK(alive.use_count() == 4);
  b.open();
  CHECK(told == "b4");
  loop.dispatch();
  CHECK(alive.use_count() == 1);
}

TEST_CASE("when_any takes every kind of awaitable, and returns std::monostate for void", "[when_any]") {
  using namespace when_any_cases;
  const Watchdog watchdog("when_any did not end");
  Loop loop;
  const auto body = [](Loop& home) -> Task<int> {
    auto any = when_any(home.sleep(1h), home.sleep(1ms), home.sleep(2h));
    const auto first = co_await any;
    static_assert(std::is_same_v<decltype(first), const std::variant<std::monostate, std::monostate, std::monostate>>);
    auto nested = when_any(home.sleep(1h), when_any(home.sleep(1h), seven()));
    const auto inner = co_await nested;
    co_return static_cast<int>(first.index()) * 1000 + static_cast<int>(inner.index()) * 100 +
        std::get<1>(std::get<1>(inner));
  };
  CHECK(loop.block_on(body(loop)) == 1107);
}

TEST_CASE("when_any throws what the first one threw, with the others destroyed", "[when_any]") {
  using namespace when_any_cases;
  Loop loop;
  Gate a;
  Gate b;
  const Alive alive = std::make_shared<int>();
  std::string told;
  const auto body = [](Gate& first, Gate& second, const Alive& held, std::string& result) -> Task<> {
    auto any = when_any(behind(first, held, "a"), fails_behind(second, held));
    try {
      (void)co_await any;
    } catch (const std::runtime_error& error) {
      CHECK(held.use_count() == 2);
      result = error.what();
    }
  };
  loop.spawn(body(a, b, alive, told));
  while (!b.has_waiter()) loop.dispatch();
  b.open();
  CHECK(told == "the first");
}

TEST_CASE("when_any starts nothing behind one that ends at once", "[when_any]") {
  using namespace when_any_cases;
  Loop loop;
  bool started = false;
  const auto body = [](bool& later) -> Task<std::size_t> {
    auto any = when_any(seven(), note(later));
    const auto first = co_await any;
    co_return first.index();
  };
  CHECK(loop.block_on(body(started)) == 0);
  CHECK_FALSE(started);
}

TEST_CASE("when_any of a vector says which task was first", "[when_any]") {
  using namespace when_any_cases;
  const Watchdog watchdog("when_any did not end");
  Loop loop;
  const auto body = [](Loop& home) -> Task<int> {
    const auto after = [](Loop& on, leasepool::TimeSpan delay, int value) -> Task<std::unique_ptr<int>> {
      auto sleep = on.sleep(delay);
      co_await sleep;
      co_return std::make_unique<int>(value);
    };
    const auto only = [](Loop& on, leasepool::TimeSpan delay) -> Task<> {
      auto sleep = on.sleep(delay);
      co_await sleep;
    };
    std::vector<Task<std::unique_ptr<int>>> tasks;
    tasks.push_back(after(home, 1h, 1));
    tasks.push_back(after(home, 1ms, 2));
    auto any = when_any(std::move(tasks));
    auto [index, value] = co_await any;
    std::vector<Task<>> silent;
    silent.push_back(only(home, 1h));
    silent.push_back(only(home, 1h));
    silent.push_back(only(home, 1ms));
    auto first_of = when_any(std::move(silent));
    const std::size_t silent_index = co_await first_of;
    co_return static_cast<int>(index) * 100 + *value * 10 + static_cast<int>(silent_index);
  };
  CHECK(loop.block_on(body(loop)) == 122);
}

TEST_CASE("when_any that cannot work says so", "[when_any]") {
  using namespace when_any_cases;
  Loop loop;
  const auto of_none = []() -> Task<> {
    auto any = when_any(std::vector<Task<>>());
    co_await any;
  };
  CHECK_THROWS_AS(loop.block_on(of_none()), std::invalid_argument);
  const auto twice = []() -> Task<> {
    auto any = when_any(seven());
    (void)co_await any;
    (void)co_await any;
  };
  CHECK_THROWS_AS(loop.block_on(twice()), std::logic_error);
}

TEST_CASE("a coroutine that is destroyed in a when_any takes its branches with it", "[when_any]") {
  using namespace when_any_cases;
  const Alive alive = std::make_shared<int>();
  Gate a;
  {
    Loop loop;
    const auto body = [](Gate& first, const Alive& held) -> Task<> {
      auto any = when_any(behind(first, held, "a"));
      (void)co_await any;
    };
    loop.spawn(body(a, alive));
    while (!a.has_waiter()) loop.dispatch();
    CHECK(alive.use_count() > 1);
  }
  CHECK(alive.use_count() == 1);
}
