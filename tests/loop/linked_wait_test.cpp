// Tests of LinkedWait: what it costs, that it ends at its deadline or not at all, and the grinder's batches on it.
#include "loop/linked_wait.hpp"

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/grinder.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/manager.hpp"
#include "loop/loop_core.hpp"
#include "loop/ring.hpp"
#include "submissions.hpp"
#include "support/eventually.hpp"
#include "support/watchdog.hpp"

namespace linked_wait {

using leasepool::Loop;
using leasepool::TimePoint;
using leasepool::detail::LoopCore;
using leasepool::detail::monotonic_now;
using leasepool::detail::TimedWait;
using leasepool::test::Cut;
using leasepool::test::Cutting;
using leasepool::test::submissions;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

struct Fixture {
  Loop loop;
  LoopCore& core = *leasepool::detail::Access::core(loop);
  unsigned expired = 0;
  std::unique_ptr<TimedWait> wait = core.make_timed_wait([this] { ++expired; });

  // Of the ring, in the course of what is done and of a few turns behind it.
  template <class Action>
  std::uint64_t operations_of(const Action& action) {
    turns();
    const std::uint64_t before = core.engine().operations();
    action();
    turns();
    return core.engine().operations() - before;
  }
  void turns() {
    for (int i = 0; i < 3; ++i) loop.dispatch();
  }
  void until_expired(unsigned times) {
    loop.block_on([](Fixture& self, unsigned wanted) -> leasepool::Task<> {
      while (self.expired < wanted) {
        auto sleep = self.loop.sleep(1ms);
        co_await sleep;
      }
    }(*this, times));
  }
};

}  // namespace linked_wait

TEST_CASE("a wait that is armed and disarmed in one turn costs no entry", "[linked_wait]") {
  using namespace linked_wait;
  Fixture fixture;
  const auto cost = fixture.operations_of([&] {
    fixture.wait->arm(monotonic_now() + 1h);
    CHECK(fixture.wait->is_armed());
    fixture.wait->disarm();
    CHECK_FALSE(fixture.wait->is_armed());
  });
  CHECK(cost == 0);
  CHECK(fixture.core.engine().in_flight() == 1);  // the doorbell's poll
}

TEST_CASE("a wait is an operation and its linked timeout, cancelled when it is disarmed", "[linked_wait]") {
  using namespace linked_wait;
  Fixture fixture;
  const unsigned before = submissions().link_timeouts;
  CHECK(fixture.operations_of([&] { fixture.wait->arm(monotonic_now() + 1h); }) == 2);
  CHECK(submissions().link_timeouts == before + 1);
  CHECK(fixture.core.engine().in_flight() == 2);
  CHECK(fixture.operations_of([&] { fixture.wait->arm(monotonic_now() + 2h); }) == 1);  // moved
  CHECK(fixture.operations_of([&] { fixture.wait->disarm(); }) == 1);
  CHECK(fixture.core.engine().in_flight() == 1);
  CHECK(fixture.expired == 0);
}

TEST_CASE("a wait ends at its deadline, and can be armed again", "[linked_wait]") {
  using namespace linked_wait;
  const Watchdog watchdog("a wait did not end");
  Fixture fixture;
  for (unsigned times = 1; times <= 3; ++times) {
    const TimePoint deadline = monotonic_now() + 2ms;
    fixture.wait->arm(deadline);
    fixture.until_expired(times);
    CHECK(monotonic_now() >= deadline);
    CHECK_FALSE(fixture.wait->is_armed());
  }
  CHECK(fixture.expired == 3);
}

TEST_CASE("a wait that was cancelled and is armed again ends at its new deadline alone", "[linked_wait]") {
  using namespace linked_wait;
  const Watchdog watchdog("a wait did not end");
  Fixture fixture;
  for (unsigned times = 1; times <= 200; ++times) {
    fixture.wait->arm(monotonic_now() + (times % 2 == 0 ? 1h : 1us * times));
    fixture.loop.dispatch();
    fixture.wait->disarm();
    if (times % 3 == 0) fixture.loop.dispatch();
    const unsigned expired = fixture.expired;
    const TimePoint deadline = monotonic_now() + 100us;
    fixture.wait->arm(deadline);
    fixture.until_expired(expired + 1);
    CHECK(monotonic_now() >= deadline);
    fixture.turns();
    CHECK(fixture.expired == expired + 1);
  }
}

TEST_CASE("a wait that is moved when its time has come ends at the new deadline", "[linked_wait]") {
  using namespace linked_wait;
  const Watchdog watchdog("a wait did not end");
  Fixture fixture;
  const TimePoint first = monotonic_now() + 1ms;
  fixture.wait->arm(first);
  fixture.loop.dispatch();
  while (monotonic_now() < first + 1ms) {
  }
  const TimePoint second = monotonic_now() + 5ms;
  fixture.wait->arm(second);
  fixture.until_expired(1);
  CHECK(monotonic_now() >= second);
  fixture.turns();
  CHECK(fixture.expired == 1);
}

TEST_CASE("a wait may be destroyed by what it runs, and in flight", "[linked_wait]") {
  using namespace linked_wait;
  const Watchdog watchdog("a wait did not end");
  Fixture fixture;
  std::unique_ptr<TimedWait> other;
  other = fixture.core.make_timed_wait([&] {
    ++fixture.expired;
    other.reset();
  });
  other->arm(monotonic_now());
  fixture.wait->arm(monotonic_now() + 1h);
  fixture.until_expired(1);
  CHECK(other == nullptr);
  CHECK(fixture.core.engine().in_flight() == 2);
  fixture.wait.reset();
  fixture.turns();
  CHECK(fixture.core.engine().in_flight() == 1);
  fixture.wait = fixture.core.make_timed_wait([] {});
  fixture.wait->arm(monotonic_now() + 1h);
  fixture.wait.reset();  // before the end of the turn
  fixture.turns();
  CHECK(fixture.core.engine().in_flight() == 1);
}

TEST_CASE("an exception of what a wait runs leaves the loop, which stays usable", "[linked_wait]") {
  using namespace linked_wait;
  const Watchdog watchdog("a wait did not end");
  Fixture fixture;
  const auto other = fixture.core.make_timed_wait([] { throw std::runtime_error("of the wait"); });
  other->arm(monotonic_now());
  CHECK_THROWS_WITH(fixture.until_expired(1), "of the wait");
  fixture.wait->arm(monotonic_now());
  fixture.until_expired(1);
  CHECK(fixture.core.engine().in_flight() == 1);
}

TEST_CASE("a wait whose operation the ring refuses ends at its deadline by a timer", "[linked_wait]") {
  using namespace linked_wait;
  const Watchdog watchdog("a wait did not end");
  Fixture fixture;
  {
    const Cutting cutting(Cut::polls_are_refused);
    const TimePoint deadline = monotonic_now() + 2ms;
    fixture.wait->arm(deadline);
    fixture.until_expired(1);
    CHECK(monotonic_now() >= deadline);
    fixture.wait->arm(monotonic_now() + 1h);
    fixture.turns();
    fixture.wait->arm(monotonic_now() + 1ms);
    fixture.until_expired(2);
    fixture.wait->arm(monotonic_now() + 1h);
    fixture.turns();
    fixture.wait->disarm();
  }
  CHECK(fixture.operations_of([&] { fixture.wait->arm(monotonic_now() + 1h); }) == 2);  // on the ring again
}

TEST_CASE("G1: a batch that goes by age goes by a linked timeout, and one that is full costs none",
          "[G1][linked_wait]") {
  using namespace linked_wait;
  const Watchdog watchdog("a batch did not end");
  constexpr std::size_t kThreshold = 8;
  Loop loop;
  leasepool::LeasedExecutorManager manager(
      loop, {.backend = leasepool::ExecutorBackend::thread, .max_pools = 1, .workers_per_pool = 1});
  leasepool::WorkGrinder grinder(manager, {.batch_size_threshold = kThreshold, .max_wait = 2ms});
  loop.block_on([](leasepool::LeasedExecutorManager& pools, leasepool::WorkGrinder& batches) -> leasepool::Task<> {
    auto started = pools.start();
    co_await started;
    auto grinding = batches.start();
    co_await grinding;
    const unsigned before = submissions().link_timeouts;
    for (int batch = 0; batch < 20; ++batch) {
      std::vector<leasepool::Pending<int>> items;
      for (std::size_t i = 0; i < kThreshold; ++i) items.push_back(batches.enqueue([] { return 1; }));
      for (auto& item : items) {
        const int one = co_await item;
        CHECK(one == 1);
      }
    }
    CHECK(batches.stats().flushed_by_size == 20);
    CHECK(submissions().link_timeouts == before);
    for (int batch = 0; batch < 20; ++batch) {
      auto item = batches.enqueue([] { return 2; });
      const int two = co_await item;
      CHECK(two == 2);
    }
    CHECK(batches.stats().flushed_by_age == 20);
    CHECK(submissions().link_timeouts == before + 20);
  }(manager, grinder));
}
