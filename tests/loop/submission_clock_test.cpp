// When calls are submitted: how few readings there are, and how old one may be.
#include "loop/submission_clock.hpp"

#include <chrono>
#include <set>

#include "base/clock.hpp"
#include "catch.hpp"

namespace submission_clock_test {

using leasepool::TimePoint;
using leasepool::detail::monotonic_now;
using leasepool::detail::SubmissionClock;
using namespace std::chrono_literals;

void take_longer_than_quick() {
  const TimePoint begun = monotonic_now();
  while (monotonic_now() - begun < 20us) {
  }
}

TEST_CASE("a call that nothing follows has a reading of its own") {
  SubmissionClock clock;
  clock.begin();
  for (int i = 0; i < 100; ++i) {
    const TimePoint before = monotonic_now();
    CHECK(clock.read(false, monotonic_now) >= before);
  }
}

TEST_CASE("a reading is shared by four calls at most, and by none of another delivery") {
  SubmissionClock clock;
  clock.begin();
  std::multiset<TimePoint> times;
  for (int i = 0; i < 1000; ++i) times.insert(clock.read(true, monotonic_now));
  for (const TimePoint time : times) CHECK(times.count(time) <= 4);
  CHECK(std::set(times.begin(), times.end()).size() <= 500);
  (void)clock.read(true, monotonic_now);
  clock.begin();
  const TimePoint before = monotonic_now();
  CHECK(clock.read(true, monotonic_now) >= before);
}

TEST_CASE("calls that come slowly share no reading") {
  SubmissionClock clock;
  clock.begin();
  for (int i = 0; i < 20; ++i) {
    take_longer_than_quick();
    const TimePoint before = monotonic_now();
    CHECK(clock.read(true, monotonic_now) >= before);
  }
}

}  // namespace submission_clock_test
