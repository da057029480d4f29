// Tests of the ring's one timeout: earlier, later, none, and an update that races the expiry.
#include <poll.h>

#include <chrono>
#include <random>

#include "base/clock.hpp"
#include "catch.hpp"
#include "loop/ring.hpp"
#include "support/event_fd.hpp"
#include "support/watchdog.hpp"

using leasepool::Duration;
using leasepool::TimePoint;
using leasepool::detail::Completion;
using leasepool::detail::monotonic_now;
using leasepool::detail::Ring;
using leasepool::test::EventFd;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

namespace {

// Waits as a loop does, until the deadline has passed; gives how many waits that took.
int wait_for(Ring& ring, TimePoint deadline) {
  int waits = 0;
  while (monotonic_now() < deadline) {
    ring.set_wakeup(deadline);
    ring.submit_and_wait();
    ring.run_handlers();
    ++waits;
  }
  return waits;
}

// Whether the ring has something to tell within the time.
bool readable(const Ring& ring, std::chrono::milliseconds within) {
  pollfd watched{.fd = ring.fd(), .events = POLLIN, .revents = 0};
  return ::poll(&watched, 1, static_cast<int>(within.count())) == 1;
}

void drain(Ring& ring) {
  do {
    ring.submit_and_reap();
    ring.run_handlers();
  } while (readable(ring, 0ms));
}

}  // namespace

TEST_CASE("a wait ends at the wake-up", "[ring][wakeup]") {
  const Watchdog watchdog("a wake-up never came");
  Ring ring;
  for (const Duration delay : {Duration(0), Duration(1us), Duration(1ms), Duration(20ms)}) {
    const int waits = wait_for(ring, monotonic_now() + delay);
    CHECK(waits <= 3);
  }
}

TEST_CASE("a wait whose wake-up has long passed ends at once", "[ring][wakeup]") {
  const Watchdog watchdog("a wake-up in the past never came");
  Ring ring;
  ring.set_wakeup(monotonic_now() - 10s);
  ring.submit_and_wait();
  ring.run_handlers();
  ring.set_wakeup(TimePoint::min());
  ring.submit_and_wait();
  SUCCEED("both returned");
}

TEST_CASE("a wake-up can be brought forward", "[ring][wakeup]") {
  const Watchdog watchdog("a wait went on for the later of two wake-ups");
  Ring ring;
  ring.set_wakeup(monotonic_now() + 1h);
  SECTION("once the kernel has it") { drain(ring); }
  SECTION("before the kernel has it") {}
  CHECK(wait_for(ring, monotonic_now() + 10ms) <= 4);
}

TEST_CASE("a wake-up can be put off, and then does not come at its first time", "[ring][wakeup]") {
  const Watchdog watchdog("a wake-up that was put off never came");
  Ring ring;
  const TimePoint start = monotonic_now();
  ring.set_wakeup(start + 50ms);
  ring.submit_and_reap();
  CHECK(wait_for(ring, start + 150ms) <= 3);
}

TEST_CASE("a wake-up that is taken back does not come", "[ring][wakeup]") {
  Ring ring;
  ring.set_wakeup(monotonic_now() + 30ms);
  SECTION("once the kernel has it") { ring.submit_and_reap(); }
  SECTION("before the kernel has it") {}
  ring.set_wakeup(TimePoint::max());
  drain(ring);
  CHECK_FALSE(readable(ring, 100ms));
}

TEST_CASE("a wake-up can be set again after it was taken back", "[ring][wakeup]") {
  const Watchdog watchdog("a wake-up was lost after it had been taken back");
  Ring ring;
  for (int round = 0; round < 200; ++round) {
    ring.set_wakeup(monotonic_now() + 1h);
    if (round % 2 == 0) ring.submit_and_reap();
    ring.set_wakeup(TimePoint::max());
    if (round % 3 == 0) ring.submit_and_reap();
    REQUIRE(wait_for(ring, monotonic_now() + 100us) <= 6);
  }
}

TEST_CASE("an update that races the expiry loses neither", "[ring][wakeup]") {
  const Watchdog watchdog("a wake-up got lost in a race of its update with its expiry");
  std::mt19937 random(5);
  Ring ring;
  for (int round = 0; round < 5000; ++round) {
    ring.set_wakeup(monotonic_now() + std::chrono::microseconds(random() % 30));
    ring.submit_and_reap();
    const TimePoint spin_until = monotonic_now() + std::chrono::microseconds(random() % 30);
    while (monotonic_now() < spin_until) {
    }
    REQUIRE(wait_for(ring, monotonic_now() + std::chrono::microseconds(50 + random() % 30)) <= 6);
  }
}

TEST_CASE("a wake-up keeps no operation in flight and needs none", "[ring][wakeup]") {
  Ring ring;
  ring.set_wakeup(monotonic_now() + 1h);
  ring.submit_and_reap();
  CHECK(ring.in_flight() == 0);
  // The ring is destroyed with its timeout armed.
}

TEST_CASE("completions that come before the wake-up end the wait", "[ring][wakeup]") {
  const Watchdog watchdog("a completion did not end the wait");
  Ring ring;
  const EventFd event;
  int polled = 0;
  ring.poll(event.get(), POLLIN, [&](Completion) { ++polled; });
  ring.set_wakeup(monotonic_now() + 1h);
  ring.submit_and_reap();
  event.signal();
  while (polled == 0) {
    ring.submit_and_wait();
    ring.run_handlers();
  }
  CHECK(polled == 1);
}
