// Calls with one stop token and with several, cancelled among others that have ended, run or wait.
#include "lease/cancellation_group.hpp"

#include <algorithm>
#include <chrono>
#include <stop_token>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "lease/stage.hpp"

namespace cancellation_group_test {

using namespace std::chrono_literals;
using leasepool::Errc;
using leasepool::ManagerOptions;
using leasepool::Result;
using leasepool::test::Stage;

int one() { return 1; }

// One lease on one worker, each of whose calls takes a second.
struct Calls {
  Calls() : stage(options()) {
    stage.world.next_run_time = [] { return 1s; };
    stage.acquire("caller", 100h);
  }
  static ManagerOptions options() {
    ManagerOptions options;
    options.max_pools = 1;
    options.workers_per_pool = 1;
    return options;
  }

  void call(int number, const std::stop_token& token) {
    stage.leases[0].with(token).run_async(one, [this, number](const Result<int>& result) {
      if (result) return ran.push_back(number);
      CHECK(result.error().code() == Errc::cancelled);
      (result.error().may_have_run() ? cut_short : cancelled).push_back(number);
    });
  }

  Stage stage;
  std::vector<int> ran;
  std::vector<int> cancelled;
  std::vector<int> cut_short;
};

TEST_CASE("a stop ends all calls with its token that wait, and the one that runs, and none of another token") {
  Calls calls;
  std::stop_source stop, other;
  for (int number = 1; number <= 9; ++number)
    calls.call(number, number % 3 == 0 ? other.get_token() : stop.get_token());
  calls.stage.scheduler->advance(1s + 1ms);  // the second runs
  stop.request_stop();
  calls.stage.scheduler->advance(1h);
  CHECK(calls.ran == std::vector{1, 3, 6, 9});
  std::ranges::sort(calls.cancelled);
  CHECK(calls.cancelled == std::vector{4, 5, 7, 8});
  CHECK(calls.cut_short == std::vector{2});
  other.request_stop();
  calls.stage.scheduler->advance(1h);
  CHECK(calls.ran.size() == 4);
}

TEST_CASE(
    "a call that is submitted when its stop was asked for, but not heard of yet, is refused and no other with it") {
  Calls calls;
  std::stop_source stop;
  calls.call(1, {});
  calls.call(2, stop.get_token());
  stop.request_stop();
  calls.call(3, stop.get_token());  // refused at once
  calls.stage.scheduler->advance(1h);
  CHECK(calls.ran == std::vector{1});
  CHECK(calls.cancelled == std::vector{3, 2});
}

TEST_CASE("calls leave their group in any order, many of them, and those that are left are cancelled") {
  constexpr int kCalls = 1000;
  Calls calls;
  std::stop_source stop;
  const std::stop_token token = stop.get_token();
  // Every call but each tenth is bound by its wait, the last one's ending first.
  int timed_out = 0;
  calls.call(0, token);
  for (int number = 1; number <= kCalls; ++number) {
    if (number % 10 == 0) {
      calls.call(number, token);
      continue;
    }
    calls.stage.leases[0]
        .with({.queue_timeout = std::chrono::microseconds(10 + kCalls - number)})
        .with(token)
        .run_async(one, [&](const Result<int>& result) {
          timed_out += !result && result.error().code() == Errc::timed_out ? 1 : 0;
        });
  }
  calls.stage.scheduler->advance(10ms);
  CHECK(timed_out == kCalls / 10 * 9);
  stop.request_stop();
  calls.stage.scheduler->advance(1h);
  CHECK(calls.cut_short == std::vector{0});
  REQUIRE(calls.cancelled.size() == kCalls / 10);
  CHECK(std::ranges::is_sorted(calls.cancelled));
}

TEST_CASE("who was in a group that is over starts another") {
  Calls calls;
  std::stop_source stop;
  for (int number = 1; number <= 3; ++number) {
    calls.call(number, stop.get_token());
    calls.stage.scheduler->advance(2s);
  }
  CHECK(calls.ran == std::vector{1, 2, 3});
  calls.call(4, {});
  calls.call(5, stop.get_token());
  std::jthread([&] { stop.request_stop(); }).join();
  calls.stage.scheduler->advance(1h);
  CHECK(calls.ran == std::vector{1, 2, 3, 4});
  CHECK(calls.cancelled == std::vector{5});
}

TEST_CASE("calls that are lost, as those of an abandoned thread are, keep nothing of their lease and loop") {
  std::weak_ptr<leasepool::test::SimScheduler> loop;
  std::stop_source stop;
  {
    Calls calls;
    loop = calls.stage.scheduler;
    calls.call(1, stop.get_token());
    calls.stage.world.kills = false;
    const auto pool = calls.stage.world.pools[0].lock();
    REQUIRE(pool->running() == 1);
    calls.stage.manager->shut_down();
    calls.stage.scheduler->advance(1ms);  // its caller is told
    pool->forget_running();
  }
  CHECK(loop.expired());
}

}  // namespace cancellation_group_test
