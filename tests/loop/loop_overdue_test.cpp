// Tests of a loop that comes late to its deadlines, as after the program was stopped: in which order it catches up.
#include <poll.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "loop/loop_core.hpp"
#include "loop/ring.hpp"
#include "support/event_fd.hpp"
#include "support/watchdog.hpp"

using leasepool::TimePoint;
using leasepool::detail::Completion;
using leasepool::detail::CompletionHandler;
using leasepool::detail::LoopCore;
using leasepool::detail::Ring;
using leasepool::test::EventFd;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

namespace {

// Closes the core at the end of a test.
struct Core {
  Core() = default;
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core() { core->close(); }
  LoopCore* operator->() const noexcept { return core.get(); }

  const std::shared_ptr<LoopCore> core = std::make_shared<LoopCore>(std::make_unique<Ring>());
};

void sleep_past(TimePoint deadline) { std::this_thread::sleep_until(deadline + 1ms); }

}  // namespace

TEST_CASE("the next deadline of a chain comes before those that were due after it", "[loop][timer]") {
  const Watchdog watchdog("a timer never ran");
  const Core core;
  const TimePoint start = core->now();
  std::vector<int> ran;
  const auto note = [&ran](int number) { return [&ran, number] { ran.push_back(number); }; };
  core->call_at(start + 1ms, [&] {
    ran.push_back(1);
    core->call_at(start + 3ms, [&] {
      ran.push_back(3);
      core->call_at(start + 5ms, note(5));
    });
  });
  for (const int number : {2, 4, 6}) core->call_at(start + std::chrono::milliseconds(number), note(number));
  bool ended = false;
  core->call_at(start + 7ms, [&] { core->defer([&] { ended = true; }); });
  sleep_past(start + 7ms);
  core->run_until(ended, [] {});
  CHECK(ran == std::vector<int>{1, 2, 3, 4, 5, 6});
}

TEST_CASE("what has completed is handled before a timer that came due, however much it is", "[loop][timer]") {
  const Watchdog watchdog("a poll or the timer never came");
  constexpr int kPolls = 200;  // the kernel hands over some 20 at a time
  const EventFd flood;
  int polled = 0;
  int polled_before = -1;
  bool ended = false;
  std::function<void(CompletionHandler)> poll;
  const Core core;
  poll = [&](CompletionHandler handler) { core->engine().poll(flood.get(), POLLIN, std::move(handler)); };
  // As a receive goes on: what follows is there, too, but nobody has asked for it yet.
  for (int i = 0; i < kPolls; ++i) poll([&](Completion) { poll([&](Completion) { ++polled; }); });
  const TimePoint deadline = core->now() + 20ms;
  core->call_at(deadline, [&] {
    polled_before = polled;
    ended = true;
  });
  core->run_until(ended, [&] {
    core->defer([&] {
      flood.signal();
      sleep_past(deadline);
    });
  });
  CHECK(polled_before == kPolls);
}

TEST_CASE("what completes again and again does not keep a timer from running", "[loop][timer]") {
  const Watchdog watchdog("the timer was starved");
  const EventFd ready;
  ready.signal();
  bool ended = false;
  int polled = 0;
  std::function<void()> poll;
  const Core core;
  poll = [&] {
    core->engine().poll(ready.get(), POLLIN, [&](Completion) {
      ++polled;
      if (!ended) poll();
    });
  };
  core->call_at(core->now() + 5ms, [&] { ended = true; });
  core->run_until(ended, poll);
  CHECK(polled > 0);
}
