// Tests of the arithmetic of deadlines, above all at the ends of its range.
#include "base/clock.hpp"

#include <limits>

#include "catch.hpp"

using leasepool::Duration;
using leasepool::TimePoint;
using leasepool::detail::deadline_after;
using leasepool::detail::kNever;
using leasepool::detail::monotonic_now;
using leasepool::detail::until;
using namespace std::chrono_literals;

namespace {
constexpr TimePoint kNoon{12h};
}  // namespace

TEST_CASE("a deadline lies its delay after the start", "[clock]") {
  CHECK(deadline_after(kNoon, 1ns) == kNoon + 1ns);
  CHECK(deadline_after(kNoon, 90s) == kNoon + 90s);
  CHECK(deadline_after(TimePoint{}, 5s) == TimePoint{5s});
}

TEST_CASE("a delay of zero or less is due at once", "[clock]") {
  CHECK(deadline_after(kNoon, 0ns) == kNoon);
  CHECK(deadline_after(kNoon, -1ns) == kNoon);
  CHECK(deadline_after(kNoon, Duration::min()) == kNoon);
}

TEST_CASE("the longest delay is never, whatever the start", "[clock]") {
  CHECK(deadline_after(TimePoint{}, Duration::max()) == kNever);
  CHECK(deadline_after(kNoon, Duration::max()) == kNever);
  CHECK(deadline_after(kNever, Duration::max()) == kNever);
}

TEST_CASE("a delay past the end of the clock is never, and one just before it is not", "[clock]") {
  const Duration left = kNever - kNoon;
  CHECK(deadline_after(kNoon, left + 1ns) == kNever);
  CHECK(deadline_after(kNoon, left) == kNever);
  CHECK(deadline_after(kNoon, left - 1ns) == kNever - 1ns);
  CHECK(deadline_after(kNever - 1ns, 1ns) == kNever);
  CHECK(deadline_after(kNever - 1ns, 0ns) == kNever - 1ns);
}

TEST_CASE("what starts never is due never", "[clock]") {
  CHECK(deadline_after(kNever, 0ns) == kNever);
  CHECK(deadline_after(kNever, -1s) == kNever);
  CHECK(deadline_after(kNever, Duration::min()) == kNever);
}

TEST_CASE("the time until a deadline is negative once it has passed, and unlimited until never", "[clock]") {
  CHECK(until(kNoon + 3s, kNoon) == 3s);
  CHECK(until(kNoon, kNoon) == 0ns);
  CHECK(until(kNoon, kNoon + 3s) == -3s);
  CHECK(until(TimePoint{}, kNever) == -Duration::max());
  CHECK(until(kNever, kNoon) == Duration::max());
  CHECK(until(kNever, kNever) == Duration::max());
}

TEST_CASE("the clock is the steady clock of the standard library", "[clock]") {
  const auto before = std::chrono::steady_clock::now();
  const TimePoint now = monotonic_now();
  CHECK(now >= before);
  CHECK(now <= std::chrono::steady_clock::now());
}
