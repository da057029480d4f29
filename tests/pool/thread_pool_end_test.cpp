// The ways in which a thread pool ends: in order, at once, with functions that do not return, and before it began.
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.hpp"
#include "catch.hpp"
#include "harness.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::eventually;
using leasepool::test::TestPool;

namespace {

// What a function that does not return waits for, and what it keeps alive meanwhile.
struct Held {
  std::atomic<bool> running = false;
  std::atomic<bool> open = false;
  std::atomic<bool> returned = false;
};

auto held_by(std::shared_ptr<Held> held) {
  return [held = std::move(held)] {
    held->running = true;
    held->running.notify_all();
    held->open.wait(false);
    held->returned = true;
    return std::string("late");
  };
}

void open(Held& held) {
  held.open = true;
  held.open.notify_all();
}

}  // namespace

TEST_CASE("a thread pool that closes waits for what runs and leaves no thread", "[thread][L3][L6]") {
  Loop loop;
  const std::size_t threads = test::thread_count();
  const auto held = std::make_shared<Held>();
  TestPool pool(loop, ExecutorBackend::thread, 3);
  REQUIRE(pool.start().has_value());
  CHECK(test::thread_count() == threads + 3);
  const auto call = pool.call(held_by(held));
  held->running.wait(false);
  bool closed = false;
  pool.pool->close([&] { closed = true; });
  CHECK(pool.wait([&] { return test::thread_count() == threads + 1; }));  // the idle ones have gone
  CHECK_FALSE(closed);
  open(*held);
  CHECK(pool.wait([&] { return closed; }));
  pool.pool.reset();
  CHECK(call->result->value() == "late");
  CHECK(eventually([&] { return test::thread_count() == threads; }));
}

TEST_CASE("closing at once waits for what runs until the deadline", "[thread][L3][L6]") {
  Loop loop;
  const std::size_t threads = test::thread_count();
  const auto held = std::make_shared<Held>();
  TestPool pool(loop, ExecutorBackend::thread, 2);
  REQUIRE(pool.start().has_value());
  const auto call = pool.call(held_by(held));
  held->running.wait(false);
  std::jthread opener([&] {
    std::this_thread::sleep_for(10ms);  // so that close_now() has something to wait for, whichever comes first
    open(*held);
  });
  pool.close_now(60s);
  CHECK(held->returned);
  opener.join();
  CHECK(eventually([&] { return test::thread_count() == threads; }));
  CHECK(pool.wait([&] { return call->ended(); }));  // what it gave is delivered all the same
  CHECK(call->result->value() == "late");
}

TEST_CASE("closing at once leaves a function behind that does not return in time, and its return harms nothing",
          "[thread][L3][L6]") {
  const std::size_t threads = test::thread_count();
  const auto held = std::make_shared<Held>();
  std::weak_ptr<Held> alive = held;
  {
    Loop loop;
    TestPool pool(loop, ExecutorBackend::thread, 2);
    REQUIRE(pool.start().has_value());
    const auto call = pool.call(held_by(held));
    held->running.wait(false);
    const auto begin = std::chrono::steady_clock::now();
    pool.close_now(50ms);
    CHECK(std::chrono::steady_clock::now() - begin >= 50ms);
    CHECK_FALSE(held->returned);
    CHECK(eventually([&] { return test::thread_count() == threads + 1; }));
    SECTION("while the loop is there, the result is still delivered") {
      open(*held);
      CHECK(pool.wait([&] { return call->ended(); }));
      CHECK(call->result->value() == "late");
    }
    SECTION("while pool and loop are gone") {}
  }
  open(*held);
  CHECK(eventually([&] { return test::thread_count() == threads; }));
  CHECK(held->returned);
  CHECK(eventually([&] { return alive.use_count() == 1; }));  // the job is destroyed
}

TEST_CASE("a closing pool that is killed lets go of what runs", "[thread][L3]") {
  const std::size_t threads = test::thread_count();
  const auto held = std::make_shared<Held>();
  {
    Loop loop;
    TestPool pool(loop, ExecutorBackend::thread, 2);
    REQUIRE(pool.start().has_value());
    const auto call = pool.call(held_by(held));
    held->running.wait(false);
    bool closed = false;
    pool.pool->close([&] { closed = true; });
    pool.pool->kill();
    CHECK_FALSE(closed);  // later, never inside of the call
    CHECK(pool.wait([&] { return closed; }));
    pool.pool->kill();  // once more is nothing
    pool.pool.reset();
    CHECK_FALSE(call->ended());
  }
  open(*held);
  CHECK(eventually([&] { return held->returned && test::thread_count() == threads; }));
}

TEST_CASE("a pool that is closed before it was ready never says that it is", "[thread][L6]") {
  // The threads may end before the loop's next turn, and the pool with them.
  for (const bool at_once : {false, true}) {
    Loop loop;
    const std::size_t threads = test::thread_count();
    TestPool pool(loop, ExecutorBackend::thread, 2);
    bool ready = false;
    bool closed = false;
    pool.pool->start([&](const Result<void>&) { ready = true; });
    if (at_once) {
      pool.close_now(60s);
      closed = true;
    } else {
      pool.pool->close([&] { closed = true; });
    }
    CHECK(eventually([&] { return test::thread_count() == threads; }));
    CHECK(pool.wait([&] { return closed; }));
    test::turn(loop);
    CHECK_FALSE(ready);
    pool.pool.reset();
  }
}

TEST_CASE("pools that come and go leave no thread and no descriptor", "[thread][L6]") {
  Loop loop;
  const std::size_t threads = test::thread_count();
  const auto descriptors = test::open_descriptors();
  for (int i = 0; i < 50; ++i) {
    TestPool pool(loop, ExecutorBackend::thread, 4);
    REQUIRE(pool.start().has_value());
    const auto call = pool.call([i] { return i; });
    if (i % 3 == 0) CHECK(pool.wait([&] { return call->ended(); }));
    if (i % 2 == 0) CHECK(pool.close());
  }
  CHECK(eventually([&] { return test::thread_count() == threads; }));
  CHECK(test::open_descriptors() == descriptors);
}
