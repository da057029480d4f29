// The queue of a grinder by itself: when a batch is due, and what it takes.
#include "grinder/batch.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>
#include <utility>
#include <vector>

#include "catch.hpp"

using namespace std::chrono_literals;
using leasepool::Duration;
using leasepool::TimePoint;
using leasepool::detail::BatchQueue;
using leasepool::detail::kNever;

namespace {

constexpr TimePoint kStart{std::chrono::hours(1)};

BatchQueue<int> queue_of(std::size_t threshold, Duration max_wait = 10s, Duration ageing = 1s) {
  return BatchQueue<int>({.threshold = threshold, .max_wait = max_wait, .ageing = ageing});
}

}  // namespace

TEST_CASE("a batch is due when there are enough items", "[G1]") {
  auto queue = queue_of(3);
  CHECK(queue.due(kStart, false) == 0);
  for (int i = 1; i <= 2; ++i) queue.add(i, kStart, 0);
  CHECK(queue.due(kStart, false) == 0);
  queue.add(3, kStart, 0);
  CHECK(queue.due(kStart, false) == 1);
  for (int i = 4; i <= 7; ++i) queue.add(i, kStart, 0);
  CHECK(queue.due(kStart, false) == 2);
  CHECK(queue.take() == std::vector<int>{1, 2, 3});
  CHECK(queue.take() == std::vector<int>{4, 5, 6});
  CHECK(queue.due(kStart, false) == 0);
  CHECK(queue.take() == std::vector<int>{7});
  CHECK(queue.take().empty());
}

TEST_CASE("a batch is due when its first item has waited, whatever came later", "[G1]") {
  auto queue = queue_of(10, 50ms);
  CHECK(queue.deadline() == kNever);
  queue.add(1, kStart, 0);
  CHECK(queue.deadline() == kStart + 50ms);
  queue.add(2, kStart + 40ms, 0);
  CHECK(queue.deadline() == kStart + 50ms);
  CHECK(queue.due(kStart + 50ms - 1ns, false) == 0);
  CHECK(queue.due(kStart + 50ms, false) == 1);
  CHECK(queue.take() == std::vector<int>{1, 2});
  CHECK(queue.deadline() == kNever);
}

TEST_CASE("when the first item is gone, the clock is the next one's", "[G1][G5]") {
  auto queue = queue_of(10, 50ms);
  const auto first = queue.add(1, kStart, 0);
  queue.add(2, kStart + 40ms, 0);
  CHECK(queue.remove(first, 0) == 1);
  CHECK(queue.deadline() == kStart + 90ms);
  CHECK(queue.due(kStart + 60ms, false) == 0);
  CHECK(queue.due(kStart + 90ms, false) == 1);
}

TEST_CASE("a full batch that waits does not make the rest due before its time", "[G1]") {
  auto queue = queue_of(2, 50ms);
  queue.add(1, kStart, 0);
  queue.add(2, kStart, 0);
  queue.add(3, kStart + 40ms, 0);
  CHECK(queue.due(kStart + 60ms, false) == 1);
  CHECK(queue.take() == std::vector<int>{1, 2});
  CHECK(queue.due(kStart + 60ms, false) == 0);
  CHECK(queue.due(kStart + 90ms, false) == 1);
}

TEST_CASE("when nothing more is to come, as many batches are due as leave nothing", "[G6]") {
  auto queue = queue_of(2, Duration::max());
  CHECK(queue.due(kStart, true) == 0);
  for (int i = 1; i <= 5; ++i) queue.add(i, kStart, 0);
  CHECK(queue.deadline() == kNever);
  CHECK(queue.due(kStart + 1000h, false) == 2);
  CHECK(queue.due(kStart, true) == 3);
}

TEST_CASE("higher priorities are taken first, and among equals the oldest") {
  auto queue = queue_of(10);
  queue.add(1, kStart, 0);
  queue.add(2, kStart, 5);
  queue.add(3, kStart, -5);
  queue.add(4, kStart + 1ms, 5);
  queue.add(5, kStart + 1ms, 0);
  CHECK(queue.take() == std::vector<int>{2, 4, 1, 5, 3});
}

TEST_CASE("an item that has waited for one ageing is worth one priority more") {
  auto queue = queue_of(10, Duration::max(), 100ms);
  queue.add(1, kStart, 0);
  queue.add(2, kStart + 99ms, 1);   // overtakes
  queue.add(3, kStart + 101ms, 1);  // comes too late to overtake 1
  queue.add(4, kStart + 102ms, 2);
  CHECK(queue.take() == std::vector<int>{4, 2, 1, 3});
}

TEST_CASE("nothing starves: whatever keeps coming, an old item is taken after its ageing") {
  auto queue = queue_of(1, Duration::max(), 100ms);
  queue.add(-1, kStart, -3);
  int taken_before = 0;
  for (TimePoint now = kStart;; now += 10ms) {
    queue.add(1, now, 0);
    if (queue.take().front() == -1) break;
    ++taken_before;
  }
  CHECK(taken_before == 30);  // 3 priorities, 100 ms each, one every 10 ms
}

TEST_CASE("with an ageing without end, priorities are strict") {
  auto queue = queue_of(10, Duration::max(), Duration::max());
  queue.add(1, kStart, 0);
  queue.add(2, kStart + 10'000h, 1);
  queue.add(3, kStart + 10'000h, 0);
  CHECK(queue.take() == std::vector<int>{2, 1, 3});
}

TEST_CASE("the extremes of priority and ageing do not overflow") {
  auto queue = queue_of(10, Duration::max(), leasepool::detail::kStrictAgeing - 1ns);
  const TimePoint late{std::chrono::hours(24 * 365 * 100)};
  queue.add(1, late, 1000);
  queue.add(2, late, -1000);
  queue.add(3, late, 0);
  CHECK(queue.take() == std::vector<int>{1, 3, 2});
}

TEST_CASE("items are visited in the order of their coming, and the oldest is known") {
  auto queue = queue_of(10);
  queue.add(1, kStart, 0);
  queue.add(2, kStart + 1ms, 9);
  std::vector<int> seen;
  queue.for_each([&](int item) { seen.push_back(item); });
  CHECK(seen == std::vector<int>{1, 2});
  CHECK(queue.oldest() == kStart);
}

TEST_CASE("whatever is added, removed and taken, a batch has the items that come first by priority and age",
          "[G1][G5]") {
  const auto ageing = GENERATE(Duration(1s), Duration(leasepool::detail::kStrictAgeing));
  struct Known {
    std::uint64_t id;
    int priority;
    TimePoint since;
  };
  std::mt19937 random(7);
  const auto below = [&](int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(random); };
  auto queue = BatchQueue<std::uint64_t>({.threshold = 5, .max_wait = 10s, .ageing = ageing});
  std::vector<Known> waiting;
  const auto comes_before = [&](const Known& left, const Known& right) {
    if (ageing == leasepool::detail::kStrictAgeing && left.priority != right.priority) {
      return left.priority > right.priority;
    }
    const auto place = [&](const Known& known) {
      return known.since.time_since_epoch() -
             (ageing == leasepool::detail::kStrictAgeing ? Duration(0) : known.priority * ageing);
    };
    return std::pair(place(left), left.id) < std::pair(place(right), right.id);
  };
  TimePoint now = kStart;
  std::uint64_t next = 0;
  for (int step = 0; step < 20'000; ++step) {
    now += std::chrono::milliseconds(below(400));
    const int what = below(10);
    if (what < 6) {
      const int priority = below(3) - 1;
      const std::uint64_t id = queue.add(++next, now, priority);
      CHECK(id == next);
      waiting.push_back({.id = id, .priority = priority, .since = now});
    } else if (what < 9 && !waiting.empty()) {
      const auto victim = waiting.begin() + below(static_cast<int>(waiting.size()));
      CHECK(queue.remove(victim->id, victim->priority) == victim->id);
      waiting.erase(victim);
    } else {
      std::ranges::sort(waiting, comes_before);
      const auto end = waiting.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(5, waiting.size()));
      std::vector<std::uint64_t> expected;
      std::ranges::transform(waiting.begin(), end, std::back_inserter(expected), &Known::id);
      REQUIRE(queue.take() == expected);
      waiting.erase(waiting.begin(), end);
    }
    REQUIRE(queue.size() == waiting.size());
    const auto oldest = std::ranges::min_element(waiting, {}, &Known::since);
    REQUIRE(queue.oldest() == (waiting.empty() ? kNever : oldest->since));
  }
}

TEST_CASE("what is put back is where it was, by its priority and its time", "[G1]") {
  auto queue = queue_of(2, 50ms);
  const auto first = queue.add(1, kStart, 0);
  const auto second = queue.add(2, kStart + 1ms, 0);
  queue.add(3, kStart + 2ms, 0);
  CHECK(queue.take() == std::vector<int>{1, 2});
  CHECK(queue.deadline() == kStart + 52ms);
  queue.put_back(2, second, kStart + 1ms, 0);
  queue.put_back(1, first, kStart, 0);
  CHECK(queue.size() == 3);
  CHECK(queue.deadline() == kStart + 50ms);
  CHECK(queue.take() == std::vector<int>{1, 2});
  CHECK(queue.take() == std::vector<int>{3});
  queue.put_back(2, second, kStart + 1ms, 0);  // into a line that is gone
  CHECK(queue.remove(second, 0) == 2);
  CHECK(queue.empty());
}
