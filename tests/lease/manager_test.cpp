// What a manager does when pools fail, deadlines pass and there is much of everything, on simulated pools and a virtual
// clock.
#include <chrono>
#include <ctime>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "lease/stage.hpp"

using namespace std::chrono_literals;
using leasepool::Duration;
using leasepool::Errc;
using leasepool::ManagerOptions;
using leasepool::Result;
using leasepool::test::Stage;

namespace {

ManagerOptions pools(std::size_t most, std::size_t workers = 1) {
  ManagerOptions options;
  options.max_pools = most;
  options.workers_per_pool = workers;
  options.lease_grace = 0s;
  options.check_interval = 10s;
  return options;
}

int one() { return 1; }

}  // namespace

TEST_CASE("who waits in vain is told of the eight oldest leases, and who does not wait of all") {
  Stage stage(pools(12));
  for (int i = 1; i <= 12; ++i) {
    stage.acquire("holder " + std::to_string(i), 1h);
    stage.scheduler->advance(1s);
  }
  stage.acquire("patient", 60s, 5s);
  stage.acquire("hasty", 60s, {}, false);
  stage.scheduler->advance(5s);
  REQUIRE(stage.refusals.size() == 2);
  for (int i = 1; i <= 12; ++i) {
    const std::string holder = "\"holder " + std::to_string(i) + "\" for ";
    CHECK_THAT(stage.refusals[0], ContainsSubstring(holder));
    CHECK((stage.refusals[1].find(holder) != std::string::npos) == (i <= 8));
  }
  CHECK_THAT(stage.refusals[1], ContainsSubstring("\"holder 8\" for 10 s, and 4 more"));

  ManagerOptions bounded = pools(12);
  bounded.max_waiters = 1;
  Stage full(bounded);
  for (int i = 1; i <= 14; ++i) full.acquire("holder", 1h);
  REQUIRE(full.refusals.size() == 1);
  CHECK_THAT(full.refusals[0], ContainsSubstring("max_waiters = 1"));
  CHECK_THAT(full.refusals[0], ContainsSubstring(", and 4 more"));
}

TEST_CASE("a pool that could not be made for who waits is tried again every check_interval") {
  Stage stage(pools(2));
  stage.acquire("holder", 1h);
  stage.world.next_start_fails = [] { return true; };
  stage.acquire("waiter", 1h);
  CHECK(stage.leases.size() == 1);
  CHECK(stage.manager->stats().starting == 0);
  stage.scheduler->advance(25s);  // in vain twice more
  stage.world.next_start_fails = [] { return false; };
  CHECK(stage.leases.size() == 1);
  stage.scheduler->advance(4s);
  CHECK(stage.leases.size() == 1);
  stage.scheduler->advance(1s);
  CHECK(stage.leases.size() == 2);
  CHECK(stage.manager->total() == 2);
  stage.leases.clear();
  stage.scheduler->run_until_idle();
  stage.scheduler->advance(1h);
  CHECK(stage.scheduler->nothing_comes());  // nothing is left to try
}

TEST_CASE("a lease without grace is reported with where it was acquired and for how long it was held") {
  Stage stage(pools(1));
  stage.acquire("forgetful", 60s);
  stage.scheduler->advance(60s);
  REQUIRE(stage.log.size() == 1);
  CHECK_THAT(stage.log[0], ContainsSubstring("\"forgetful\" on stage was revoked at its hard expiry"));
  CHECK_THAT(stage.log[0], ContainsSubstring("; acquired at "));
  CHECK_THAT(stage.log[0], ContainsSubstring("stage.hpp:"));
  CHECK_THAT(stage.log[0], ContainsSubstring(", held for 60 s"));
}

TEST_CASE("callers hear of a hard expiry before the pool's replacement is begun") {
  Stage stage(pools(1, 2));
  stage.world.next_run_time = [] { return 1h; };
  stage.acquire("forgetful", 60s);
  std::vector<std::size_t> made;
  for (int i = 0; i < 4; ++i) {
    stage.leases[0].run_async(one, [&](const Result<int>& result) {
      CHECK(result.error().code() == Errc::lease_expired);
      made.push_back(stage.world.pools.size());
    });
  }
  stage.scheduler->advance(60s);
  CHECK(made == std::vector<std::size_t>(4, 1));
  CHECK(stage.world.pools.size() == 2);
  CHECK(stage.manager->available() == 1);
}

TEST_CASE("a call whose worker died before it began is still bound by its queue_timeout") {
  Stage stage(pools(1));
  stage.world.next_run_time = [] { return 1h; };
  stage.acquire("caller", 10h);
  std::vector<std::string> ended;
  stage.leases[0].with({.timeout = 2h, .queue_timeout = 60s}).run_async(one, [&](const Result<int>& result) {
    ended.push_back(result ? "result" : result.error().message());
  });
  stage.scheduler->advance(50s);
  stage.world.next_start_delay = [] { return 1h; };  // no other worker comes
  stage.world.pools.at(0).lock()->crash(false);
  stage.scheduler->advance(10s - 1ns);
  CHECK(ended.empty());
  stage.scheduler->advance(1ns);
  REQUIRE(ended.size() == 1);
  CHECK_THAT(ended[0], ContainsSubstring("queue_timeout = 60 s"));
}

TEST_CASE("a call that is given back after its queue_timeout has passed fails at once") {
  Stage stage(pools(1));
  stage.world.next_run_time = [] { return 1h; };
  stage.acquire("caller", 10h);
  int timed_out = 0;
  stage.leases[0].with({.queue_timeout = 60s}).run_async(one, [&](const Result<int>& result) {
    timed_out += !result && result.error().code() == Errc::timed_out ? 1 : 0;
  });
  stage.scheduler->advance(120s);
  CHECK(timed_out == 0);  // it runs
  stage.world.next_start_delay = [] { return 1h; };
  stage.world.pools.at(0).lock()->crash(false);
  stage.scheduler->run_until_idle();
  CHECK(timed_out == 1);
}

// The last call's time is up first, so that a search from the first on would take the square of their number.
TEST_CASE("the deadlines of 100,000 waiting calls cost no more than they should") {
  constexpr int kCalls = 100'000;
  Stage stage(pools(1));
  stage.world.next_run_time = [] { return 10h; };
  stage.acquire("caller", 20h);
  int ended = 0;
  for (int i = 0; i <= kCalls; ++i) {
    stage.leases[0]
        .with({.queue_timeout = std::chrono::milliseconds(2 * kCalls - i)})
        .run_async(one, [&](const Result<int>&) { ++ended; });
  }
  const std::clock_t before = std::clock();  // of the processor, which others use, too
  stage.scheduler->advance(1h);
  CHECK(ended == kCalls);  // all but the one that runs
  CHECK((std::clock() - before) / CLOCKS_PER_SEC < 20);
}

TEST_CASE("a size_provider may stop its manager") {
  std::size_t asked = 0;
  Stage* manager = nullptr;
  bool stopped = false;
  ManagerOptions options = pools(4);
  options.units_per_pool = 1;
  options.size_provider = [&] {
    if (++asked > 1) manager->manager->stop([&](const Result<void>&) { stopped = true; });
    return std::size_t{4};
  };
  Stage stage(options);
  manager = &stage;
  CHECK(stage.manager->total() == 4);
  stage.manager->notify_scale_changed();
  stage.scheduler->run_until_idle();
  CHECK(stopped);
  CHECK(stage.manager->total() == 0);
  CHECK(stage.world.pools.size() == 4);
  CHECK_FALSE(stage.manager->stats().started);
  CHECK(stage.scheduler->idle());
  bool failed = false;
  stage.manager->start([&](const Result<void>& result) { failed = !result; });
  stage.scheduler->run_until_idle();
  CHECK(failed);
  CHECK(stage.world.pools.size() == 4);
}
