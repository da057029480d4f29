// Tests that a loop between events is asleep in the kernel: it neither polls nor wakes by itself.
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "catch.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"
#include "loop/loop_core.hpp"
#include "support/eventually.hpp"
#include "support/sleeps.hpp"
#include "support/stale_taskrun.hpp"
#include "support/watchdog.hpp"

using leasepool::Duration;
using leasepool::Loop;
using leasepool::Task;
using leasepool::Timer;
using leasepool::test::eventually;
using leasepool::test::leave_taskrun_set;
using leasepool::test::sleeps_for;
using leasepool::test::sleeps_through;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

TEST_CASE("a loop without anything to do sleeps through, and still hears a post", "[loop][idle]") {
  const Watchdog watchdog("a loop that slept did not hear");
  std::atomic<long> thread = 0;
  std::atomic<Loop*> loop = nullptr;
  std::jthread runner([&] {
    thread = ::syscall(SYS_gettid);
    Loop own;
    const Timer far = own.call_after(1h, [] {});
    const Timer never = own.call_after(Duration::max(), [] {});
    const auto sleep = [](Loop& home) -> Task<> { co_await home.sleep(2h); };
    own.spawn(sleep(own));
    loop = &own;
    own.run();
  });
  REQUIRE(eventually([&] { return loop.load() != nullptr; }));
  CHECK(sleeps_through(thread));

  std::atomic<bool> heard = false;
  loop.load()->post([&] { heard = true; });
  REQUIRE(eventually([&] { return heard.load(); }));
  CHECK(sleeps_through(thread));
  loop.load()->stop();
}

TEST_CASE("a loop that expects something soon sleeps, too, when the kernel flags work that there is not",
          "[loop][idle]") {
  std::atomic<long> thread = 0;
  std::atomic<Loop*> loop = nullptr;
  std::jthread runner([&] {
    thread = ::syscall(SYS_gettid);
    Loop own;
    leasepool::detail::Access::core(own)->begin_busy_poll(50us);
    loop = &own;
    own.run();
    leasepool::detail::Access::core(own)->end_busy_poll(50us);
  });
  REQUIRE(eventually([&] { return loop.load() != nullptr; }));
  CHECK(sleeps_through(thread));
  std::atomic<bool> heard = false;
  loop.load()->post([&] { heard = leave_taskrun_set() > 0 || loop.load()->engine() == leasepool::LoopEngine::epoll; });
  REQUIRE(eventually([&] { return heard.load(); }));
  CHECK(sleeps_through(thread));
  heard = false;
  loop.load()->post([&] { heard = true; });
  REQUIRE(eventually([&] { return heard.load(); }));
  loop.load()->stop();
}

// What the tests that a loop sleeps are worth.
TEST_CASE("a thread that spins or polls is not taken for one that sleeps", "[loop][idle]") {
  std::atomic<long> thread = 0;
  std::atomic<bool> end = false;
  const auto begin = [&](auto pass_time) {
    thread = 0;
    end = false;
    std::jthread runner([&, pass_time] {
      thread = ::syscall(SYS_gettid);
      while (!end) pass_time();
    });
    REQUIRE(eventually([&] { return thread != 0; }));
    return runner;
  };
  CHECK_FALSE(sleeps_for(-1, 1ms));  // there is no such thread
  {
    const std::jthread spins = begin([] {});
    CHECK_FALSE(sleeps_for(thread, 100ms));
    end = true;
  }
  const std::jthread polls = begin([] { std::this_thread::sleep_for(300ms); });
  CHECK_FALSE(sleeps_through(thread));  // though it sleeps through the first of its two spans
  end = true;
}
