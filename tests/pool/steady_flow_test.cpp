// Calls in a steady flow: short ones are sent ahead to busy workers, and do not wait there for long ones.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "support/skip.hpp"

using namespace leasepool;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace steady {

// Waits for the gate, or not.
int hold_if(bool hold) {
  if (hold) pool_functions::hold();
  return 0;
}

int take_milliseconds(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return 0;
}

}  // namespace steady

LEASEPOOL_REGISTER(steady::hold_if);
LEASEPOOL_REGISTER(steady::take_milliseconds);

namespace {

// Ended calls let others begin, so that so many are under way until `calls` of them have ended.
template <class Begin>
void flow(TestPool& pool, std::size_t under_way, std::size_t calls, const Begin& begin) {
  std::size_t begun = 0;
  const auto refill = [&] {
    while (begun < calls && begun < pool.sink->ended.size() + under_way) begin(begun++);
    return pool.sink->ended.size() >= calls;
  };
  pool.sink->ended.clear();
  REQUIRE(pool.wait(refill));
}

}  // namespace

TEST_CASE("a short call that was sent ahead goes to an idle worker when the one before it takes long", "[steady][E5]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  // Until the pool knows the function for a quick one, and sends it ahead.
  flow(pool, 16, 2000, [&](std::size_t) { (void)pool.call(steady::hold_if, false); });

  std::vector<std::shared_ptr<test::Call<int>>> calls;
  pool.sink->ended.clear();
  const auto slow = pool.call(steady::hold_if, true);
  for (int i = 0; i < 40; ++i) calls.push_back(pool.call(steady::hold_if, false));
  // All of them, though one worker holds for as long as it likes.
  REQUIRE(pool.wait([&] { return std::ranges::all_of(calls, [](const auto& call) { return call->ended(); }); }));
  CHECK_FALSE(slow->ended());
  shared().gate = 1;
  REQUIRE(pool.wait([&] { return slow->ended(); }));
}

TEST_CASE("of two quick calls the second goes to the worker that was woken for the first", "[steady]") {
  if (!detail::shared_memory_by_default()) return test::skip("a socket does not say who sleeps");
  Loop loop;
  auto options = TestPool::options_for(2);
  options.spin = Duration::zero();  // who has nothing to do sleeps
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  // In some rounds a worker is not asleep yet, and on a busy machine one is taken for slow. Never sharing a worker is
  // what fails.
  bool shared_one = false;
  for (int round = 0; round < 500 && !shared_one; ++round) {
    flow(pool, 1, 50, [&](std::size_t) { (void)pool.call(pool_functions::process_id); });
    const auto first = pool.call(pool_functions::process_id);
    const auto second = pool.call(pool_functions::process_id);
    REQUIRE(pool.wait([&] { return first->ended() && second->ended(); }));
    shared_one = first->result->value() == second->result->value();
  }
  CHECK(shared_one);
}

TEST_CASE("a quick call behind one that turns out slow goes to a worker that sleeps, though nothing else happens",
          "[steady][E5]") {
  pool_functions::reset_shared();
  Loop loop;
  auto options = TestPool::options_for(2);
  options.spin = Duration::zero();
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  for (int round = 0; round < 20; ++round) {
    flow(pool, 1, 100, [&](std::size_t) { (void)pool.call(steady::hold_if, false); });
    const auto slow = pool.call(steady::hold_if, true);
    const auto quick = pool.call(steady::hold_if, false);
    REQUIRE(pool.wait([&] { return quick->ended(); }));
    CHECK_FALSE(slow->ended());
    shared().gate = 1;
    REQUIRE(pool.wait([&] { return slow->ended(); }));
    shared().gate = 0;
  }
}

TEST_CASE("calls of which one took long are not sent ahead of others", "[steady]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  flow(pool, 16, 200, [&](std::size_t number) { (void)pool.call(steady::take_milliseconds, number == 0 ? 20 : 0); });
  // Both workers hold, and nothing waits behind either: who is withdrawn had not been sent.
  pool.sink->started.clear();
  const auto first = pool.call(pool_functions::hold);
  const auto second = pool.call(pool_functions::hold);
  REQUIRE(pool.wait([&] { return shared().holding == 2; }));
  const auto third = pool.call(steady::take_milliseconds, 0);
  CHECK(third->job->state.waits_in_pool);
  shared().gate = 1;
  REQUIRE(pool.wait([&] { return first->ended() && second->ended() && third->ended(); }));
  CHECK(pool.sink->started == std::vector{first->id, second->id, third->id});
}
