// Tests that a loop between events is asleep in the kernel: it neither polls nor wakes by itself.
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "catch.hpp"
#include "leasepool/loop.hpp"
#include "support/eventually.hpp"
#include "support/watchdog.hpp"

using leasepool::Duration;
using leasepool::Loop;
using leasepool::Task;
using leasepool::Timer;
using leasepool::test::eventually;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

namespace {

// How often a thread of this process has gone to sleep; whoever makes a blocking call once more has slept once more.
long sleeps_of(long thread) {
  std::ifstream status("/proc/self/task/" + std::to_string(thread) + "/status");
  const std::string key = "voluntary_ctxt_switches:";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::stol(line.substr(key.size()));
  }
  return -1;
}

// Whether the thread sleeps through some 100 ms. One that polls, at whatever interval up to that, never does.
bool sleeps_through(long thread) {
  return eventually([&] {
    const long before = sleeps_of(thread);
    std::this_thread::sleep_for(100ms);
    return sleeps_of(thread) == before;
  });
}

}  // namespace

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
