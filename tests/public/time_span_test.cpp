// Durations of every unit go in: what is longer than a Duration can tell means never.
#include <chrono>
#include <limits>
#include <optional>
#include <ratio>
#include <stdexcept>
#include <type_traits>

#include "support.hpp"

namespace {

using std::chrono::duration;
using std::chrono::hours;
using std::chrono::years;

constexpr lp::Duration kMaxDuration = lp::Duration::max();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class... Longest>
constexpr bool all_saturate =
    ((lp::TimeSpan(Longest::max()) == kMaxDuration && lp::TimeSpan(Longest::min()) == -kMaxDuration) && ...);

std::vector<lp::TimeSpan> endless() {
  return {hours::max(),
          std::chrono::minutes::max(),
          std::chrono::seconds::max(),
          years(300),
          years(600),
          duration<double>(1e300),
          duration<double>(kInfinity),
          duration<float, std::ratio<86400>>(1e30F),
          lp::Duration::max()};
}

}  // namespace

TEST_CASE("A6: a time span of any unit saturates and loses nothing", "[A6]") {
  using namespace std::chrono;
  STATIC_REQUIRE(all_saturate<microseconds, milliseconds, seconds, minutes, hours, days, weeks, months, years>);
  STATIC_REQUIRE(all_saturate<duration<std::int64_t, std::ratio<7, 3>>>);
  STATIC_REQUIRE(lp::TimeSpan(nanoseconds::min()) == nanoseconds::min());
  STATIC_REQUIRE(lp::TimeSpan(nanoseconds::max()) == kMaxDuration);
  STATIC_REQUIRE(lp::TimeSpan(duration<std::uint64_t>::max()) == kMaxDuration);
  STATIC_REQUIRE(lp::TimeSpan(years(292)) == nanoseconds(years(292)));
  STATIC_REQUIRE(lp::TimeSpan(years(-292)) == nanoseconds(years(-292)));
  STATIC_REQUIRE(lp::TimeSpan(duration<double>(-kInfinity)) == -kMaxDuration);
  STATIC_REQUIRE(lp::TimeSpan(duration<double>(0.25)) == 250ms);
  STATIC_REQUIRE(lp::TimeSpan(duration<double>(1e-12)) == 1ns);
  STATIC_REQUIRE(lp::TimeSpan(duration<std::int64_t, std::pico>(1)) == 1ns);
  STATIC_REQUIRE(lp::TimeSpan(duration<std::int64_t, std::pico>(-1)) == -1ns);
  STATIC_REQUIRE(lp::TimeSpan(duration<std::int64_t, std::pico>(2000)) == 2ns);
  STATIC_REQUIRE(lp::TimeSpan(duration<int, std::ratio<1, 3>>(1)) == 333'333'334ns);
  STATIC_REQUIRE(lp::TimeSpan(duration<unsigned char>(255)) == 255s);
  STATIC_REQUIRE(std::is_trivially_destructible_v<lp::TimeSpan>);
  STATIC_REQUIRE(std::is_trivially_copyable_v<lp::TimeSpan>);
  CHECK_THROWS_AS(lp::TimeSpan(duration<double>(std::numeric_limits<double>::quiet_NaN())), std::invalid_argument);
}

TEST_CASE("A6: a time span is a Duration in all else", "[A6]") {
  lp::TimeSpan span = 90s;
  const lp::Duration plain = span;
  CHECK(plain == std::chrono::minutes(1) + 30s);
  CHECK(span + 1s == 91s);
  CHECK(span > 1min);
  CHECK(std::chrono::duration_cast<std::chrono::minutes>(span) == 1min);
  const std::optional<lp::Duration> perhaps = std::optional<lp::TimeSpan>(span);
  CHECK(perhaps == plain);
  CHECK((lp::AcquireOptions{.timeout = std::optional<lp::Duration>(1s)}).timeout == 1s);
  span += 1s;
  CHECK(std::chrono::steady_clock::time_point() + span == std::chrono::steady_clock::time_point(91s));
}

TEST_CASE("A6: never, in whatever unit, is accepted everywhere and never comes", "[A6]") {
  for (const lp::TimeSpan never : endless()) {
    lp::ManagerOptions options = options_for(ExecutorBackend::thread);
    options.check_interval = options.default_lease_duration = options.lease_grace = never;
    options.stop_timeout = options.worker_start_timeout = options.max_worker_age = never;
    on_manager(options, [never](lp::Loop& loop, Manager& manager) -> lp::Task<> {
      const lp::WorkGrinder grinder(
          manager, {.max_wait = never, .lease_duration = never, .ageing = never, .stop_timeout = never});
      auto lease = co_await manager.acquire({.lease_duration = never, .timeout = never});
      CHECK(lease.soft_expires_at() == lp::TimePoint::max());
      lease.extend(never);
      CHECK(lease.soft_expires_at() == lp::TimePoint::max());
      CHECK(co_await lease.with({.timeout = never, .queue_timeout = never}).run(square, 3) == 9);
      bool came = false;
      const lp::Timer timer = loop.call_after(never, [&] { came = true; });
      co_await loop.sleep(1ms);
      CHECK_FALSE(came);
      lease.release();
    });
  }
}

TEST_CASE("A6: what is negative in whatever unit is refused with the option's name", "[A6]") {
  lp::Loop loop;
  lp::ManagerOptions options = options_for(ExecutorBackend::thread);
  const auto refused = [&] {
    try {
      const lp::LeasedExecutorManager manager(loop, options);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  for (const lp::TimeSpan negative :
       {lp::TimeSpan(hours::min()), lp::TimeSpan(years(-600)), lp::TimeSpan(duration<double>(-kInfinity))}) {
    options.default_lease_duration = negative;
    CHECK_THAT(refused(), ContainsSubstring("default_lease_duration = -9223372036 s must be positive"));
  }
}
