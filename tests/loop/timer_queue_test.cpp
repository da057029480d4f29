// Tests of TimerQueue without a clock: order, cancelling, the mark, ids, and 100,000 random steps against a sorted
// model.
#include "loop/timer_queue.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "catch.hpp"

using leasepool::TimePoint;
using leasepool::detail::TimerId;
using leasepool::detail::TimerQueue;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint at(int milliseconds) { return TimePoint{std::chrono::milliseconds(milliseconds)}; }

// Runs everything that is due, as one turn of a loop does.
void run_due(TimerQueue& timers, TimePoint now) {
  const std::uint64_t mark = timers.mark();
  while (auto handler = timers.take_due(now, mark)) handler();
}

// Notes the numbers of the timers that ran.
struct Log {
  TimerQueue::Handler note(int number) {
    return [this, number] { ran.push_back(number); };
  }
  std::vector<int> ran;
};

}  // namespace

TEST_CASE("timers are taken in the order of their deadlines", "[timer_queue]") {
  TimerQueue timers;
  Log log;
  for (const int deadline : {50, 10, 40, 20, 30}) timers.add(at(deadline), log.note(deadline));
  CHECK(timers.size() == 5);
  CHECK(timers.earliest() == at(10));
  run_due(timers, at(100));
  CHECK(log.ran == std::vector<int>{10, 20, 30, 40, 50});
  CHECK(timers.empty());
  CHECK(timers.earliest() == TimePoint::max());
}

TEST_CASE("timers of one deadline are taken in the order in which they were added", "[timer_queue]") {
  TimerQueue timers;
  Log log;
  std::vector<int> expected;
  for (int i = 0; i < 100; ++i) {
    timers.add(at(7), log.note(i));
    expected.push_back(i);
  }
  run_due(timers, at(7));
  CHECK(log.ran == expected);
}

TEST_CASE("a timer is not taken before its deadline, and is taken at it", "[timer_queue]") {
  TimerQueue timers;
  Log log;
  timers.add(at(10), log.note(10));
  timers.add(at(20), log.note(20));
  run_due(timers, at(10) - 1ns);
  CHECK(log.ran.empty());
  run_due(timers, at(10));
  CHECK(log.ran == std::vector<int>{10});
  CHECK(timers.earliest() == at(20));
  run_due(timers, at(20) - 1ns);
  CHECK(log.ran == std::vector<int>{10});
}

TEST_CASE("a cancelled timer is not taken, wherever it stood", "[timer_queue]") {
  TimerQueue timers;
  Log log;
  const TimerId first = timers.add(at(10), log.note(10));
  timers.add(at(20), log.note(20));
  const TimerId middle = timers.add(at(30), log.note(30));
  timers.add(at(40), log.note(40));
  const TimerId last = timers.add(at(50), log.note(50));

  SECTION("the first") {
    CHECK(timers.cancel(first));
    CHECK(timers.earliest() == at(20));
    run_due(timers, at(100));
    CHECK(log.ran == std::vector<int>{20, 30, 40, 50});
  }
  SECTION("one in the middle") {
    CHECK(timers.cancel(middle));
    CHECK(timers.earliest() == at(10));
    run_due(timers, at(100));
    CHECK(log.ran == std::vector<int>{10, 20, 40, 50});
  }
  SECTION("the last") {
    CHECK(timers.cancel(last));
    run_due(timers, at(100));
    CHECK(log.ran == std::vector<int>{10, 20, 30, 40});
  }
}

TEST_CASE("a timer is cancelled once, and not after it was taken", "[timer_queue]") {
  TimerQueue timers;
  Log log;
  const TimerId cancelled = timers.add(at(10), log.note(10));
  const TimerId taken = timers.add(at(20), log.note(20));
  CHECK(timers.cancel(cancelled));
  CHECK_FALSE(timers.cancel(cancelled));
  run_due(timers, at(20));
  CHECK_FALSE(timers.cancel(taken));
  CHECK_FALSE(timers.cancel(0));
  CHECK_FALSE(timers.cancel(~TimerId{0}));
  CHECK(log.ran == std::vector<int>{20});
}

TEST_CASE("cancelling destroys the handler at once, and its captures may cancel other timers", "[timer_queue]") {
  TimerQueue timers;
  Log log;
  const TimerId other = timers.add(at(20), log.note(20));
  const auto cancels_other = [&timers, other](void*) { timers.cancel(other); };
  std::shared_ptr<void> capture(nullptr, cancels_other);
  const TimerId first = timers.add(at(10), [capture = std::move(capture)] {});
  CHECK(timers.size() == 2);
  CHECK(timers.cancel(first));
  CHECK(timers.empty());
}

TEST_CASE("a timer added while due ones are taken waits for the next round", "[timer_queue]") {
  TimerQueue timers;
  Log log;
  timers.add(at(10), [&] {
    log.ran.push_back(1);
    timers.add(at(10), log.note(3));
  });
  timers.add(at(10), log.note(2));
  run_due(timers, at(10));
  CHECK(log.ran == std::vector<int>{1, 2});
  run_due(timers, at(10));
  CHECK(log.ran == std::vector<int>{1, 2, 3});
}

TEST_CASE("a timer that is overdue when it is added is taken in the same round, in the order of the deadlines",
          "[timer_queue]") {
  TimerQueue timers;
  Log log;
  timers.add(at(10), [&] {
    log.ran.push_back(10);
    timers.add(at(30), [&] {
      log.ran.push_back(30);
      timers.add(at(50), log.note(50));  // just up: the next round's
      timers.add(at(35), log.note(35));
    });
  });
  timers.add(at(20), log.note(20));
  timers.add(at(40), log.note(40));
  timers.add(at(50), log.note(49));
  run_due(timers, at(50));
  CHECK(log.ran == std::vector<int>{10, 20, 30, 35, 40, 49});
  run_due(timers, at(50));
  CHECK(log.ran.back() == 50);
}

TEST_CASE("a handler may cancel timers that are due in the same round", "[timer_queue]") {
  TimerQueue timers;
  Log log;
  TimerId victim = 0;
  timers.add(at(10), [&] { CHECK(timers.cancel(victim)); });
  victim = timers.add(at(10), log.note(2));
  timers.add(at(10), log.note(3));
  run_due(timers, at(10));
  CHECK(log.ran == std::vector<int>{3});
}

TEST_CASE("the id of a timer is never that of another one, though its place is used again", "[timer_queue]") {
  TimerQueue timers;
  std::set<TimerId> seen;
  for (int i = 0; i < 10'000; ++i) {
    const TimerId id = timers.add(at(i), [] {});
    REQUIRE(id != 0);
    REQUIRE(seen.insert(id).second);
    if (i % 2 == 0) {
      REQUIRE(timers.cancel(id));
    } else {
      REQUIRE(timers.take_due(at(i), timers.mark()));
    }
  }
  timers.add(at(1), [] {});
  for (const TimerId old : seen) CHECK_FALSE(timers.cancel(old));
  CHECK(timers.size() == 1);
}

TEST_CASE("the queue behaves as a sorted map under 100,000 random adds, cancels and takes", "[timer_queue]") {
  std::mt19937 random(19930401);
  TimerQueue timers;
  std::multimap<TimePoint, int> model;  // equal keys stay in the order of insertion
  std::map<int, std::pair<TimerId, TimePoint>> pending;
  std::vector<int> taken;
  TimePoint now = at(0);

  for (int step = 0; step < 100'000; ++step) {
    const auto choice = random() % 10;
    if (choice < 5) {
      const TimePoint deadline = now + std::chrono::milliseconds(random() % 100 * 20);
      const TimerId id = timers.add(deadline, [&taken, step] { taken.push_back(step); });
      model.emplace(deadline, step);
      pending.emplace(step, std::pair(id, deadline));
    } else if (choice < 8 && !pending.empty()) {
      const auto victim = std::next(pending.begin(), static_cast<std::ptrdiff_t>(random() % pending.size()));
      REQUIRE(timers.cancel(victim->second.first));
      REQUIRE_FALSE(timers.cancel(victim->second.first));
      auto [candidate, end] = model.equal_range(victim->second.second);
      while (candidate != end && candidate->second != victim->first) ++candidate;
      REQUIRE(candidate != end);
      model.erase(candidate);
      pending.erase(victim);
    } else if (choice >= 8) {
      now += std::chrono::milliseconds(random() % 8);
      taken.clear();
      run_due(timers, now);
      timers.check_order();
      std::vector<int> expected;
      while (!model.empty() && model.begin()->first <= now) {
        expected.push_back(model.begin()->second);
        pending.erase(model.begin()->second);
        model.erase(model.begin());
      }
      REQUIRE(taken == expected);
    }
    REQUIRE(timers.size() == model.size());
    REQUIRE(timers.earliest() == (model.empty() ? TimePoint::max() : model.begin()->first));
  }
  CHECK(pending.size() > 50);  // else the steps above did not keep the queue full enough to mean anything
}
