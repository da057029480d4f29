// SpscRing: each element is fetched once, in order, and whoever fetches is called whenever there is something that it
// has not seen.
#include "base/spsc_ring.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support/watchdog.hpp"

namespace {

using Ring = leasepool::detail::SpscRing<int, 8>;

struct Counted {
  explicit Counted(std::atomic<int>& count) : alive(count) { ++alive; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --alive; }
  std::atomic<int>& alive;
};

}  // namespace

TEST_CASE("the consumer is called once until it comes, and finds all that is there", "[spsc_ring]") {
  Ring ring;
  CHECK(ring.ready() == nullptr);
  CHECK(ring.push(std::make_unique<int>(1)));
  CHECK_FALSE(ring.push(std::make_unique<int>(2)));
  ring.acknowledge();
  CHECK(ring.push(std::make_unique<int>(3)));  // it may have looked before this came
  REQUIRE(ring.ready() != nullptr);
  CHECK(*ring.ready() == 1);
  for (const int expected : {1, 2, 3}) CHECK(*ring.pop() == expected);
  CHECK(ring.pop() == nullptr);
  CHECK(ring.ready() == nullptr);
}

TEST_CASE("a consumer that looks by itself is not called, and is when it looks no more", "[spsc_ring]") {
  Ring ring;
  ring.watch();
  CHECK_FALSE(ring.push(std::make_unique<int>(1)));
  CHECK(*ring.pop() == 1);
  CHECK_FALSE(ring.unwatch());
  CHECK(ring.push(std::make_unique<int>(2)));
  ring.watch();  // it is called already, and stays so
  CHECK_FALSE(ring.push(std::make_unique<int>(3)));
  ring.acknowledge();
  ring.watch();
  CHECK_FALSE(ring.push(std::make_unique<int>(4)));
  CHECK(ring.unwatch());  // something is there of which nobody will call it
  for (const int expected : {2, 3, 4}) CHECK(*ring.pop() == expected);
}

TEST_CASE("a ring goes round as long as it is emptied in time", "[spsc_ring]") {
  Ring ring;
  int next = 0;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 8; ++i) (void)ring.push(std::make_unique<int>(8 * round + i));
    ring.acknowledge();
    while (const auto element = ring.pop()) CHECK(*element == next++);
  }
  CHECK(next == 80);
}

TEST_CASE("what nobody fetches is destroyed with the ring, or when either side clears it", "[spsc_ring]") {
  std::atomic<int> alive = 0;
  {
    leasepool::detail::SpscRing<Counted, 8> ring;
    for (int i = 0; i < 3; ++i) (void)ring.push(std::make_unique<Counted>(alive));
    CHECK(alive == 3);
    ring.clear();
    CHECK(alive == 0);
    CHECK(ring.push(std::make_unique<Counted>(alive)));  // the call is the producer's to hear of the end
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("no call is lost between two threads", "[spsc_ring]") {
  const leasepool::test::Watchdog watchdog("a result was added, and nobody was called for it");
  constexpr int kElements = 20'000;
  constexpr int kPlaces = 256;  // many, as on a busy machine each time that one side waits for the other takes long
  leasepool::detail::SpscRing<int, kPlaces> ring;
  std::atomic<int> calls = 0;
  std::atomic<int> fetched = 0;
  std::jthread producer([&] {
    for (int i = 0; i < kElements; ++i) {
      while (i - fetched.load() >= kPlaces) std::this_thread::yield();  // its user keeps to its size
      if (ring.push(std::make_unique<int>(i))) ++calls;
    }
  });
  int answered = 0;
  int next = 0;
  while (next < kElements) {
    if (calls.load() == answered) {
      std::this_thread::yield();
      continue;
    }
    ++answered;
    ring.acknowledge();
    while (const auto element = ring.pop()) {
      if (*element != next) FAIL("out of order");
      ++next;
      ++fetched;
    }
  }
  CHECK(answered <= kElements);
}

TEST_CASE("both sides may clear a ring at once, and each element is destroyed once", "[spsc_ring]") {
  std::atomic<int> alive = 0;
  for (int round = 0; round < 2000; ++round) {
    leasepool::detail::SpscRing<Counted, 8> ring;
    std::jthread producer([&] {
      for (int i = 0; i < 4; ++i) {
        if (ring.push(std::make_unique<Counted>(alive)) && i > 0) ring.clear();
      }
    });
    ring.clear();
  }
  CHECK(alive == 0);
}

TEST_CASE("no element is lost to a consumer that looks for a while and then waits to be called", "[spsc_ring]") {
  constexpr int kElements = 20'000;
  constexpr int kPlaces = 256;
  leasepool::detail::SpscRing<int, kPlaces> ring;
  std::atomic<int> calls = 0;
  std::atomic<int> fetched = 0;
  std::jthread producer([&] {
    for (int i = 0; i < kElements; ++i) {
      while (i - fetched.load() >= kPlaces || i - fetched.load() > i % 7) std::this_thread::yield();
      if (ring.push(std::make_unique<int>(i))) ++calls;
    }
  });
  int answered = 0;
  int next = 0;
  const auto fetch = [&] {
    while (const auto element = ring.pop()) {
      if (*element != next) FAIL("out of order");
      ++next;
      ++fetched;
    }
  };
  while (next < kElements) {
    ring.watch();
    for (int look = 0; look < 20; ++look) fetch();
    if (ring.unwatch()) continue;
    while (calls.load() == answered && next < kElements) std::this_thread::yield();  // hangs if a call is lost
    if (next == kElements) break;
    ++answered;
    ring.acknowledge();
    fetch();
  }
  CHECK(next == kElements);
}
