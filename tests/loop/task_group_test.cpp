// Tests of TaskGroup: its tasks run side by side and end by themselves, and what it does with those that do not.
#include "leasepool/task_group.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "leasepool/error.hpp"
#include "leasepool/loop.hpp"
#include "loop/loop_core.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"

namespace task_group_cases {

using leasepool::Loop;
using leasepool::Task;
using leasepool::TaskGroup;
using leasepool::test::Gate;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

using Order = std::vector<std::string>;
using Alive = std::shared_ptr<int>;

Task<> note(Order& order, std::string name) {
  order.push_back(std::move(name));
  co_return;
}

Task<> behind(Gate& gate, Order& order, std::string name, Alive alive = {}) {
  order.push_back("+" + name);
  co_await gate;
  (void)alive;
  order.push_back("-" + name);
}

Task<> fails(std::string text) {
  throw std::runtime_error(text);
  co_return;
}

Task<> join(TaskGroup& group) {
  auto all = group.join();
  co_await all;
}

void turns(Loop& loop) {
  for (int i = 0; i < 5; ++i) loop.dispatch();
}

}  // namespace task_group_cases

TEST_CASE("the tasks of a group run side by side, and join waits for the last", "[task_group]") {
  using namespace task_group_cases;
  Loop loop;
  TaskGroup group(loop);
  Gate a;
  Gate b;
  Order order;
  group.spawn(behind(a, order, "a"));
  group.spawn(behind(b, order, "b"));
  CHECK(order.empty());  // on the next turn
  CHECK(group.size() == 2);
  bool joined = false;
  loop.spawn([](TaskGroup& tasks, bool& done) -> Task<> {
    auto all = tasks.join();
    co_await all;
    done = true;
  }(group, joined));
  turns(loop);
  CHECK(order == Order{"+a", "+b"});
  b.open();
  turns(loop);
  CHECK(group.size() == 1);
  CHECK_FALSE(joined);
  a.open();
  turns(loop);
  CHECK(order == Order{"+a", "+b", "-b", "-a"});
  CHECK(group.size() == 0);
  CHECK(joined);
  loop.block_on(join(group));  // of none: at once
}

TEST_CASE("an exception of one task does not end the others, and join throws the first", "[task_group]") {
  using namespace task_group_cases;
  Loop loop;
  TaskGroup group(loop);
  Gate gate;
  Order order;
  group.spawn(behind(gate, order, "a"));
  group.spawn(fails("one"));
  group.spawn(fails("two"));
  turns(loop);
  CHECK(group.size() == 1);
  gate.open();
  CHECK_THROWS_WITH(loop.block_on(join(group)), "one");
  CHECK(order == Order{"+a", "-a"});
  loop.block_on(join(group));  // it was told
  group.spawn(fails("three"));
  CHECK_THROWS_WITH(loop.block_on(join(group)), "three");
}

TEST_CASE("on_error hears of each exception, and join then throws none", "[task_group]") {
  using namespace task_group_cases;
  Loop loop;
  Order order;
  std::optional<TaskGroup> group;
  group.emplace(loop, leasepool::TaskGroupOptions{.on_error = [&](const std::exception_ptr& thrown) {
                  try {
                    std::rethrow_exception(thrown);
                  } catch (const std::runtime_error& error) {
                    order.push_back(error.what());
                    if (order.size() == 2) group->spawn(note(order, "spawned by on_error"));
                  }
                }});
  group->spawn(fails("one"));
  group->spawn(fails("two"));
  loop.block_on(join(*group));
  CHECK(order == Order{"one", "two", "spawned by on_error"});
}

TEST_CASE("an exception that leaves on_error leaves the loop, and the group goes on", "[task_group]") {
  using namespace task_group_cases;
  Loop loop;
  Order order;
  TaskGroup group(loop, {.on_error = [](const std::exception_ptr& thrown) { std::rethrow_exception(thrown); }});
  group.spawn(fails("one"));
  group.spawn(note(order, "a"));
  CHECK_THROWS_WITH(turns(loop), "one");
  turns(loop);
  CHECK(order == Order{"a"});
  CHECK(group.size() == 0);
}

TEST_CASE("a group with a limit starts tasks in order as others end", "[task_group]") {
  using namespace task_group_cases;
  Loop loop;
  TaskGroup group(loop, {.limit = 2});
  std::vector<Gate> gates(4);
  Order order;
  for (int i = 0; i < 4; ++i) group.spawn(behind(gates[static_cast<std::size_t>(i)], order, std::to_string(i)));
  turns(loop);
  CHECK(order == Order{"+0", "+1"});
  CHECK(group.size() == 4);
  gates[1].open();
  turns(loop);
  CHECK(order == Order{"+0", "+1", "-1", "+2"});
  gates[0].open();
  gates[2].open();
  turns(loop);
  gates[3].open();
  loop.block_on(join(group));
  CHECK(order == Order{"+0", "+1", "-1", "+2", "-0", "-2", "+3", "-3"});
}

TEST_CASE("a thousand tasks that end at once go through a limit of one", "[task_group]") {
  using namespace task_group_cases;
  const Watchdog watchdog("tasks behind a limit were forgotten");
  Loop loop;
  TaskGroup group(loop, {.limit = 1});
  int ended = 0;
  for (int i = 0; i < 1000; ++i) {
    group.spawn([](int& count) -> Task<> {
      ++count;
      co_return;
    }(ended));
  }
  loop.block_on(join(group));
  CHECK(ended == 1000);
}

TEST_CASE("cancel destroys the tasks that are there, and none that comes later", "[task_group]") {
  using namespace task_group_cases;
  Loop loop;
  TaskGroup group(loop, {.limit = 2});
  const Alive alive = std::make_shared<int>();
  Gate a;
  Order order;
  group.spawn(behind(a, order, "a", alive));
  group.spawn([](TaskGroup& own, Order& seen, Alive held) -> Task<> {
    own.cancel();  // itself, too, once it waits
    seen.push_back("cancelled");
    Gate never;
    co_await never;
    (void)held;
  }(group, order, alive));
  group.spawn(behind(a, order, "waits for room", alive));
  group.spawn(note(order, "not started"));
  loop.dispatch();
  group.spawn(note(order, "later"));
  loop.block_on(join(group));
  CHECK(alive.use_count() == 1);
  CHECK(order == Order{"+a", "cancelled", "later"});
}

TEST_CASE("a group, or its loop, that is destroyed takes the tasks with it", "[task_group]") {
  using namespace task_group_cases;
  const Alive alive = std::make_shared<int>();
  Gate gate;
  Order order;
  SECTION("the group") {
    Loop loop;
    auto group = std::make_unique<TaskGroup>(loop);
    group->spawn(behind(gate, order, "a", alive));
    turns(loop);
    group->spawn(behind(gate, order, "not started", alive));
    bool joined = false;
    loop.spawn([](TaskGroup& tasks, bool& done) -> Task<> {
      auto all = tasks.join();
      co_await all;
      done = true;
    }(*group, joined));
    loop.dispatch();
    group.reset();
    CHECK(alive.use_count() == 1);
    turns(loop);
    CHECK(joined);
  }
  SECTION("the loop") {
    auto loop = std::make_unique<Loop>();
    TaskGroup group(*loop);
    group.spawn(behind(gate, order, "a", alive));
    turns(*loop);
    loop.reset();
    CHECK(alive.use_count() == 1);
    CHECK(group.size() == 0);
    CHECK_THROWS_AS(group.spawn(note(order, "late")), leasepool::LeasePoolError);
  }
  SECTION("the loop by one of its callbacks, and then the group in the same") {
    auto loop = std::make_unique<Loop>();
    auto group = std::make_unique<TaskGroup>(*loop);
    group->spawn(behind(gate, order, "a", alive));
    turns(*loop);
    loop->post([&] {
      loop.reset();
      group.reset();
    });
    loop->run();
    CHECK(loop == nullptr);
    CHECK(alive.use_count() == 1);
  }
  SECTION("the group, by on_error") {
    Loop loop;
    std::unique_ptr<TaskGroup> group;
    group = std::make_unique<TaskGroup>(
        loop, leasepool::TaskGroupOptions{.on_error = [&](const std::exception_ptr&) { group.reset(); }});
    group->spawn(behind(gate, order, "a", alive));
    group->spawn(fails("one"));
    turns(loop);
    CHECK(group == nullptr);
    CHECK(alive.use_count() == 1);
  }
}

TEST_CASE("a group refuses what it cannot run", "[task_group]") {
  using namespace task_group_cases;
  Loop loop;
  TaskGroup group(loop);
  Order order;
  Task<> task = note(order, "a");
  group.spawn(std::move(task));
  CHECK_THROWS_AS(group.spawn(std::move(task)), std::invalid_argument);  // NOLINT(bugprone-use-after-move)
  loop.block_on(join(group));
  CHECK(order == Order{"a"});
}
