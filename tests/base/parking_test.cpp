// Parking: one spinner at most, and no work that is brought while all lie down is missed.
#include "base/parking.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "base/adaptive_spin.hpp"
#include "catch.hpp"
#include "support/eventually.hpp"
#include "support/sleeps.hpp"
#include "support/watchdog.hpp"

using leasepool::detail::AdaptiveSpin;
using leasepool::detail::Parking;
using leasepool::test::eventually;
using leasepool::test::waits_in;
using namespace std::chrono_literals;

TEST_CASE("one thread spins at a time", "[parking]") {
  Parking parking;
  CHECK(parking.begin_spinning());
  CHECK_FALSE(parking.begin_spinning());
  parking.end_spinning();
  CHECK(parking.begin_spinning());
}

TEST_CASE("whoever is told to get up spins, and others are not told while it does", "[parking]") {
  Parking parking;
  (void)parking.prepare_park(false);
  const auto slot = parking.prepare_park(false);
  parking.unpark_one();
  CHECK_FALSE(parking.begin_spinning());  // the one that was told does
  parking.unpark_one();                   // nobody more is told
  parking.park(slot);                     // takes the call, without sleeping
  CHECK_FALSE(parking.cancel_park());     // the other was not told
  parking.end_spinning();
  CHECK(parking.begin_spinning());
}

TEST_CASE("a thread that gets up by itself takes the call that it was given meanwhile", "[parking]") {
  Parking parking;
  (void)parking.prepare_park(false);
  parking.unpark_one();
  CHECK(parking.cancel_park());
  CHECK_FALSE(parking.begin_spinning());
}

TEST_CASE("who lay down last is woken first", "[parking]") {
  constexpr std::size_t kThreads = 40;  // more than there are bits to tell them apart
  Parking parking;
  std::atomic<long> id = 0;
  std::atomic<std::size_t> up = 0;
  std::vector<std::size_t> order(kThreads);
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    id = 0;
    threads.emplace_back([&, i] {
      const auto slot = parking.prepare_park(false);
      id = ::gettid();
      parking.park(slot);
      order[up.load()] = i;
      ++up;
      parking.end_spinning();
    });
    REQUIRE(eventually([&] { return id.load() != 0 && waits_in(id.load(), SYS_futex); }));
  }
  for (std::size_t woken = 1; woken <= kThreads; ++woken) {
    while (!parking.unpark_one()) std::this_thread::yield();
    REQUIRE(eventually([&] { return up.load() == woken; }));
  }
  // Of two with the same bit the first goes first: of 40, the eight last and the eight that they share them with.
  std::vector<std::size_t> last_first(order.begin(), order.begin() + 8);
  CHECK(last_first == std::vector<std::size_t>{7, 6, 5, 4, 3, 2, 1, 0});
  const std::vector<std::size_t> then(order.begin() + 8, order.begin() + 32);
  std::vector<std::size_t> expected(24);
  std::iota(expected.rbegin(), expected.rend(), 8);
  CHECK(then == expected);
  for (auto& thread : threads) thread.join();
}

// As a pool's threads do, with a counter for work.
TEST_CASE("no work is missed", "[parking]") {
  const leasepool::test::Watchdog watchdog("work was brought, and all threads sleep");
  constexpr int kRounds = 50'000;
  Parking parking;
  std::atomic<int> work = 0;
  std::atomic<int> done = 0;
  std::atomic<bool> closing = false;
  const auto take = [&] {
    int left = work.load();
    while (left > 0 && !work.compare_exchange_weak(left, left - 1)) {
    }
    return left > 0;
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      bool spinning = false;
      for (;;) {
        if (take()) {
          if (std::exchange(spinning, false)) {
            parking.end_spinning();
            if (work.load() > 0) parking.unpark_one();
          }
          ++done;
          continue;
        }
        const auto slot = parking.prepare_park(spinning);
        if (work.load() > 0 || closing.load()) {
          spinning = parking.cancel_park();
          if (closing.load() && work.load() == 0) return;
        } else {
          parking.park(slot);
          spinning = true;
        }
      }
    });
  }
  for (int round = 1; round <= kRounds; ++round) {
    ++work;
    parking.unpark_one();
    if (round % 7 == 0) {
      while (done.load() < round) std::this_thread::yield();  // until all sleep, or nearly
    }
  }
  while (done.load() < kRounds) std::this_thread::yield();
  closing = true;
  parking.unpark_all();
  threads.clear();
  CHECK(done.load() == kRounds);
}

TEST_CASE("spinning is given up where it does not pay, and taken up again where it would", "[adaptive_spin]") {
  AdaptiveSpin spin(50us);
  CHECK(spin.bound() == 50us);
  for (int i = 0; i < 10; ++i) spin.slept(10ms);
  CHECK(spin.bound() == 0us);
  CHECK(spin.spin([] { return true; }));
  CHECK_FALSE(spin.spin([] { return false; }));  // at once: this test would hang else
  for (int i = 0; i < 10; ++i) spin.slept(3us);
  CHECK(spin.bound() > 20us);
  CHECK(spin.bound() <= 50us);
}

TEST_CASE("spinning ends at its bound and at its deadline", "[adaptive_spin]") {
  AdaptiveSpin spin(1ms);
  CHECK_FALSE(spin.spin([] { return false; }));
  CHECK_FALSE(spin.spin([] { return false; }, leasepool::detail::monotonic_now()));
  AdaptiveSpin never(0us);
  int looks = 0;
  CHECK_FALSE(never.spin([&] { return ++looks > 1; }));
  CHECK(looks == 1);
}
