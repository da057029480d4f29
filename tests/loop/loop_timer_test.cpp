// Tests of Loop::call_after and Timer: order, cancelling in every way, and that no timer is early or starves others.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "leasepool/loop.hpp"
#include "support/watchdog.hpp"

using leasepool::Duration;
using leasepool::Loop;
using leasepool::Timer;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

// Runs the loop until everything that is due by then has run.
void run_for(Loop& loop, Duration span) {
  const Timer end = loop.call_after(span, [&] { loop.stop(); });
  loop.run();
}

}  // namespace

TEST_CASE("timers run in the order of their deadlines", "[loop][timer]") {
  const Watchdog watchdog("a timer never ran");
  Loop loop;
  std::vector<int> ran;
  std::vector<Timer> timers;
  for (const int milliseconds : {30, 10, 20, 0, 40}) {
    timers.push_back(loop.call_after(std::chrono::milliseconds(milliseconds), [&ran, &loop, milliseconds] {
      ran.push_back(milliseconds);
      if (milliseconds == 40) loop.stop();
    }));
  }
  CHECK(ran.empty());
  loop.run();
  CHECK(ran == std::vector<int>{0, 10, 20, 30, 40});
}

TEST_CASE("timers of one delay run in the order in which they were started", "[loop][timer]") {
  const Watchdog watchdog("a timer never ran");
  Loop loop;
  std::vector<int> ran;
  std::vector<int> expected;
  std::vector<Timer> timers;
  for (int i = 0; i < 200; ++i) {
    timers.push_back(loop.call_after(1ms, [&ran, i] { ran.push_back(i); }));
    expected.push_back(i);
  }
  timers.push_back(loop.call_after(1ms, [&] { loop.stop(); }));
  loop.run();
  CHECK(ran == expected);
}

TEST_CASE("10,000 timers of random delays run once each, in the order of their deadlines", "[loop][timer]") {
  const Watchdog watchdog("a timer never ran");
  constexpr std::size_t kTimers = 10'000;
  std::mt19937 random(7);
  Loop loop;
  std::vector<Clock::time_point> earliest(kTimers);  // none may run before this
  std::vector<int> times(kTimers, 0);
  std::vector<Timer> timers;
  std::size_t ran = 0;
  std::size_t early = 0;
  for (std::size_t i = 0; i < kTimers; ++i) {
    const Duration delay = std::chrono::microseconds(random() % 30'000);
    earliest[i] = Clock::now() + delay;
    timers.push_back(loop.call_after(delay, [&, i] {
      ++times[i];
      if (Clock::now() < earliest[i]) ++early;
      if (++ran == kTimers) loop.stop();
    }));
  }
  loop.run();
  CHECK(early == 0);
  CHECK(std::ranges::all_of(times, [](int count) { return count == 1; }));
}

TEST_CASE("a delay of zero or less runs on the next turn, not inside the call", "[loop][timer]") {
  const Watchdog watchdog("a timer without delay never ran");
  Loop loop;
  int ran = 0;
  const Timer zero = loop.call_after(0s, [&] { ++ran; });
  const Timer negative = loop.call_after(-5s, [&] { ++ran; });
  const Timer lowest = loop.call_after(Duration::min(), [&] {
    ++ran;
    loop.stop();
  });
  CHECK(ran == 0);
  loop.run();
  CHECK(ran == 3);
}

TEST_CASE("a timer that starts itself again without delay leaves room for everything else", "[loop][timer]") {
  const Watchdog watchdog("a timer without delay starved the rest of the loop");
  Loop loop;
  Timer again;
  int rounds = 0;
  bool posted = false;
  bool delayed = false;
  std::function<void()> rearm = [&] {
    ++rounds;
    again = loop.call_after(0s, rearm);
    if (rounds == 10) loop.post([&] { posted = true; });
    if (posted && delayed) loop.stop();
  };
  again = loop.call_after(0s, rearm);
  const Timer later = loop.call_after(5ms, [&] { delayed = true; });
  loop.run();
  CHECK(posted);
  CHECK(delayed);
}

TEST_CASE("no timer is early", "[loop][timer]") {
  const Watchdog watchdog("a timer never ran");
  Loop loop;
  for (int round = 0; round < 200; ++round) {
    const Duration delay = std::chrono::microseconds(round * 7);
    const auto not_before = Clock::now() + delay;
    Clock::time_point ran{};
    const Timer timer = loop.call_after(delay, [&] {
      ran = Clock::now();
      loop.stop();
    });
    loop.run();
    REQUIRE(ran >= not_before);
  }
}

TEST_CASE("a timer is taken back by cancel(), by its end and by another's assignment", "[loop][timer]") {
  const Watchdog watchdog("the timer at the end never ran");
  Loop loop;
  const auto token = std::make_shared<int>(0);
  const auto count = [token] { ++*token; };

  Timer timer = loop.call_after(1ms, count);
  SECTION("cancel(), twice") {
    timer.cancel();
    timer.cancel();
  }
  SECTION("destruction") {
    Timer local = std::move(timer);
    CHECK(token.use_count() == 3);  // here, in `count` and in the handler
  }
  SECTION("assignment of nothing") { timer = Timer(); }
  SECTION("assignment of another") {
    timer = loop.call_after(1ms, [] {});
    CHECK(token.use_count() == 2);
  }
  CHECK(token.use_count() == 2);  // the handler is gone at once
  run_for(loop, 10ms);
  CHECK(*token == 0);
}

TEST_CASE("a moved timer stays armed, and what it was moved from cancels nothing", "[loop][timer]") {
  const Watchdog watchdog("a moved timer never ran");
  Loop loop;
  int ran = 0;
  std::optional<Timer> from(loop.call_after(1ms, [&] { ++ran; }));
  Timer to(std::move(*from));
  from->cancel();
  from.reset();
  Timer assigned;
  assigned = std::move(to);
  to.cancel();  // NOLINT(bugprone-use-after-move): a moved-from timer is empty
  Timer& same = assigned;
  assigned = std::move(same);
  run_for(loop, 10ms);
  CHECK(ran == 1);
  assigned.cancel();
  CHECK(ran == 1);
}

TEST_CASE("a timer may be cancelled or destroyed by its own callback and by others of the same turn", "[loop][timer]") {
  const Watchdog watchdog("the timer at the end never ran");
  Loop loop;
  std::vector<int> ran;
  std::optional<Timer> own;
  std::array<Timer, 3> due;
  own.emplace(loop.call_after(0s, [&] {
    ran.push_back(0);
    own.reset();
    due[1].cancel();
  }));
  for (int i = 0; i < 3; ++i) {
    due[static_cast<std::size_t>(i)] = loop.call_after(0s, [&ran, i] { ran.push_back(i + 1); });
  }
  run_for(loop, 5ms);
  CHECK(ran == std::vector<int>{0, 1, 3});
}

TEST_CASE("a timer may outlive its loop", "[loop][timer]") {
  const auto token = std::make_shared<int>(0);
  Timer outlives;
  Timer outlives_too;
  {
    Loop loop;
    outlives = loop.call_after(1h, [token] { ++*token; });
    outlives_too = loop.call_after(0s, [token] { ++*token; });
  }
  CHECK(token.use_count() == 1);
  outlives.cancel();
  outlives_too = Timer();
  CHECK(*token == 0);
}

TEST_CASE("the longest duration never ends", "[loop][timer]") {
  const Watchdog watchdog("the timer at the end never ran");
  Loop loop;
  int ran = 0;
  Timer never = loop.call_after(Duration::max(), [&] { ++ran; });
  const Timer almost_never = loop.call_after(Duration::max() - 1ns, [&] { ++ran; });
  run_for(loop, 20ms);
  CHECK(ran == 0);
  never.cancel();
  run_for(loop, 1ms);
  CHECK(ran == 0);
}

TEST_CASE("a timer added by a timer runs in a later turn, after what was due already", "[loop][timer]") {
  const Watchdog watchdog("a timer never ran");
  Loop loop;
  std::vector<int> ran;
  std::vector<Timer> timers;
  timers.push_back(loop.call_after(0s, [&] {
    ran.push_back(1);
    timers.push_back(loop.call_after(0s, [&] {
      ran.push_back(3);
      loop.stop();
    }));
  }));
  timers.push_back(loop.call_after(0s, [&] { ran.push_back(2); }));
  loop.run();
  CHECK(ran == std::vector<int>{1, 2, 3});
}

TEST_CASE("a timer that is overdue when it is added takes no turn from an older one", "[loop][timer]") {
  const Watchdog watchdog("a timer never ran");
  Loop loop;
  std::vector<int> ran;
  std::vector<Timer> timers;
  timers.push_back(loop.call_after(0s, [&] {
    ran.push_back(1);
    timers.push_back(loop.call_after(-1h, [&] {
      ran.push_back(4);
      loop.stop();
    }));
    loop.post([&] { ran.push_back(3); });
  }));
  timers.push_back(loop.call_after(0s, [&] { ran.push_back(2); }));
  loop.run();
  CHECK(ran == std::vector<int>{1, 2, 3, 4});
}

TEST_CASE("an empty function is refused where it is given", "[loop][timer][post]") {
  Loop loop;
  CHECK_THROWS_AS(loop.post({}), std::invalid_argument);
  CHECK_THROWS_AS(loop.call_after(0s, {}), std::invalid_argument);
}
