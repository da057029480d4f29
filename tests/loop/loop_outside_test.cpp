// Tests of a loop that another one drives through poll_fd() and dispatch(): everything progresses, nothing spins.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/unique_fd.hpp"
#include "catch.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"
#include "loop/loop_core.hpp"
#include "loop/ring.hpp"
#include "support/event_fd.hpp"
#include "support/process_state.hpp"
#include "support/stale_taskrun.hpp"
#include "support/watchdog.hpp"

using leasepool::Duration;
using leasepool::Loop;
using leasepool::Task;
using leasepool::Timer;
using leasepool::detail::Completion;
using leasepool::detail::LoopCore;
using leasepool::detail::Ring;
using leasepool::detail::UniqueFd;
using leasepool::test::EventFd;
using leasepool::test::leave_taskrun_set;
using leasepool::test::open_descriptors;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

namespace {

// The outer loop: sleeps on the inner one's descriptor and counts how often it had to dispatch.
class Outer {
 public:
  explicit Outer(Loop& inner) : inner_(inner), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event watched{.events = EPOLLIN, .data = {.fd = inner.poll_fd()}};
    REQUIRE(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, inner.poll_fd(), &watched) == 0);
  }

  // Sleeps and dispatches until it holds, never looking at the inner loop without being told to.
  void drive_until(const std::function<bool()>& holds) {
    while (!holds()) {
      if (wait(-1ms)) dispatch();
    }
  }
  // Whether some 50 ms pass without a dispatch: a loop that spins never has those. A kernel may well report what was
  // handled already, once and late.
  bool comes_to_rest() {
    for (int attempt = 0; attempt < 20; ++attempt) {
      if (drive_for(50ms) == 0) return true;
    }
    return false;
  }
  // Drives for a time; gives how often it dispatched.
  int drive_for(std::chrono::milliseconds span) {
    const int before = dispatches;
    const auto end = std::chrono::steady_clock::now() + span;
    for (auto now = std::chrono::steady_clock::now(); now < end; now = std::chrono::steady_clock::now()) {
      if (wait(std::chrono::ceil<std::chrono::milliseconds>(end - now))) dispatch();
    }
    return dispatches - before;
  }
  bool wait(std::chrono::milliseconds limit) const {
    epoll_event ready{};
    return ::epoll_wait(epoll_.get(), &ready, 1, static_cast<int>(limit.count())) == 1;
  }
  void dispatch() {
    ++dispatches;
    inner_.dispatch();
  }
  // Dispatches until nothing is left to do.
  void settle() {
    while (wait(0ms)) dispatch();
  }
  int dispatches = 0;

 private:
  Loop& inner_;
  UniqueFd epoll_;
};

Task<> sleep_and_count(Loop& loop, Duration delay, int times, int& count) {
  for (int i = 0; i < times; ++i) {
    co_await loop.sleep(delay);
    ++count;
  }
}

}  // namespace

TEST_CASE("a loop driven from outside runs timers, posts of other threads and tasks", "[loop][outside]") {
  const Watchdog watchdog("a loop driven from outside stalls");
  Loop loop;
  Outer outer(loop);
  int timers = 0;
  int posts = 0;
  int naps = 0;
  std::vector<Timer> keep;
  for (int i = 0; i < 20; ++i) {
    keep.push_back(loop.call_after(std::chrono::milliseconds(i), [&] { ++timers; }));
  }
  loop.spawn(sleep_and_count(loop, 1ms, 20, naps));
  const std::jthread poster([&] {
    for (int i = 0; i < 10'000; ++i) loop.post([&] { ++posts; });
  });
  outer.drive_until([&] { return timers == 20 && posts == 10'000 && naps == 20; });
  outer.settle();
  CHECK(timers == 20);
  CHECK(naps == 20);
}

TEST_CASE("a loop that has nothing to do does not ask to be dispatched", "[loop][outside]") {
  const Watchdog watchdog("a loop driven from outside stalls");
  Loop loop;
  Outer outer(loop);
  CHECK(outer.comes_to_rest());

  SECTION("without timers") {}
  SECTION("with a timer far away and one that never ends") {
    const Timer far = loop.call_after(1h, [] {});
    const Timer never = loop.call_after(Duration::max(), [] {});
    CHECK(outer.comes_to_rest());
  }
  SECTION("after a timer was cancelled before its time") {
    Timer timer = loop.call_after(1h, [] {});
    outer.settle();
    timer.cancel();
  }
  SECTION("after posts") {
    for (int i = 0; i < 100; ++i) loop.post([] {});
  }
  SECTION("after it was run by itself") {
    loop.stop();
    loop.run();
  }
  SECTION("while the kernel flags work that there is not") {
    loop.post([&] { CHECK((leave_taskrun_set() > 0 || loop.engine() == leasepool::LoopEngine::epoll)); });
  }
  CHECK(outer.comes_to_rest());
}

TEST_CASE("a timer costs a handful of dispatches, however long it takes", "[loop][outside]") {
  const Watchdog watchdog("a loop driven from outside stalls");
  Loop loop;
  Outer outer(loop);
  outer.settle();
  for (const auto delay : {0ms, 1ms, 100ms}) {
    const int before = outer.dispatches;
    bool ran = false;
    const auto not_before = std::chrono::steady_clock::now() + delay;
    const Timer timer = loop.call_after(delay, [&] {
      ran = true;
      CHECK(std::chrono::steady_clock::now() >= not_before);
    });
    outer.drive_until([&] { return ran; });
    outer.settle();
    CHECK(outer.dispatches - before <= 6);
  }
}

TEST_CASE("each thing that is started between dispatches makes the descriptor readable", "[loop][outside]") {
  const Watchdog watchdog("the descriptor of a loop with something to do is not readable");
  Loop loop;
  Outer outer(loop);
  int ran = 0;
  const auto count = [&ran] { ++ran; };
  const auto count_in_task = [](int& counted) -> Task<> {
    ++counted;
    co_return;
  };
  for (int round = 1; round <= 100; ++round) {
    if (round % 3 != 0) outer.settle();
    Timer timer;
    switch (round % 5) {
      case 0: timer = loop.call_after(0s, count); break;
      case 1: loop.post(count); break;
      case 2: loop.spawn(count_in_task(ran)); break;
      case 3: leasepool::detail::Access::core(loop)->defer(count); break;
      default: timer = loop.call_after(200us, count); break;
    }
    outer.drive_until([&] { return ran == round; });
  }
}

TEST_CASE("the descriptor is right from the start, before anything was dispatched", "[loop][outside]") {
  const Watchdog watchdog("the descriptor of a loop with something to do is not readable");
  bool ran = false;
  const auto run = [&] { ran = true; };
  Loop loop;
  Timer timer;
  SECTION("for posts") { loop.post(run); }
  SECTION("for timers") { timer = loop.call_after(1ms, run); }
  Outer outer(loop);
  outer.drive_until([&] { return ran; });
}

TEST_CASE("the descriptor stays the same and goes with the loop", "[loop][outside]") {
  const auto before = open_descriptors();
  {
    Loop loop;
    const int fd = loop.poll_fd();
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    loop.dispatch();
    loop.post([] {});
    CHECK(loop.poll_fd() == fd);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a loop can be run by itself first, and be driven from outside then", "[loop][outside]") {
  const Watchdog watchdog("a loop that was run by itself before does not wake the outer one");
  Loop loop;
  Outer outer(loop);
  bool ran = false;
  const auto run = [&] { ran = true; };
  int naps = 0;
  Timer timer;

  SECTION("run() and then a post of another thread") {
    loop.stop();
    loop.run();
    std::thread([&] { loop.post(run); }).join();
  }
  SECTION("block_on() and then a post of another thread") {
    loop.block_on(sleep_and_count(loop, 0s, 1, naps));
    std::thread([&] { loop.post(run); }).join();
  }
  SECTION("run() and then a timer") {
    loop.stop();
    loop.run();
    timer = loop.call_after(1ms, run);
  }
  SECTION("a timer, and then run() that ends before it is due") {
    timer = loop.call_after(50ms, run);
    loop.stop();
    loop.run();
  }
  SECTION("a task that run() began") {
    loop.spawn(sleep_and_count(loop, 10ms, 1, naps));
    loop.stop();
    loop.run();
    outer.drive_until([&] { return naps == 1; });
    loop.post(run);
  }
  SECTION("run() that an exception left, with more to do") {
    loop.post([] { throw std::runtime_error("a"); });
    loop.post(run);
    CHECK_THROWS_WITH(loop.run(), "a");
  }
  SECTION("block_on() that an exception left, and then a timer of before") {
    timer = loop.call_after(20ms, run);
    loop.post([] { throw std::runtime_error("a"); });
    CHECK_THROWS_WITH(loop.block_on(sleep_and_count(loop, 1h, 1, naps)), "a");
  }
  outer.drive_until([&] { return ran; });
}

TEST_CASE("an exception leaves dispatch(), and the outer loop is woken for the rest", "[loop][outside]") {
  const Watchdog watchdog("a loop whose dispatch() threw does not wake the outer one");
  Loop loop;
  Outer outer(loop);
  std::vector<std::string> seen;
  const auto drive = [&](std::size_t count) {
    while (seen.size() < count) {
      try {
        outer.drive_until([&] { return seen.size() >= count; });
      } catch (const std::runtime_error& error) {
        seen.emplace_back(error.what());
      }
    }
  };
  loop.post([] { throw std::runtime_error("first"); });
  loop.post([&] { seen.emplace_back("second"); });
  drive(2);
  CHECK(seen == std::vector<std::string>{"first", "second"});

  loop.post([] { throw std::runtime_error("third"); });
  drive(3);
  std::thread([&] { loop.post([&] { seen.emplace_back("fourth"); }); }).join();
  drive(4);
  const Timer timer = loop.call_after(2ms, [&] { seen.emplace_back("sixth"); });
  const Timer earlier = loop.call_after(1ms, [] { throw std::runtime_error("fifth"); });
  drive(6);
  CHECK(seen == std::vector<std::string>{"first", "second", "third", "fourth", "fifth", "sixth"});
}

TEST_CASE("an operation started between dispatches is submitted", "[loop][outside]") {
  const Watchdog watchdog("an operation that was started between dispatches stays in the queue");
  Loop loop;
  Outer outer(loop);
  outer.settle();
  const EventFd event;
  event.signal();
  bool polled = false;
  leasepool::detail::Access::core(loop)->engine().poll(event.get(), POLLIN, [&](Completion) { polled = true; });
  outer.drive_until([&] { return polled; });
}

TEST_CASE("what comes at the end of a dispatch is seen while the kernel flags work that there is not",
          "[loop][outside]") {
  const Watchdog watchdog("a completion that came at the end of a dispatch got lost");
  constexpr int kRounds = 5'000;
  Loop loop;
  Outer outer(loop);
  int ends[2];  // an eventfd would tell the ring's eventfd a while later
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const UniqueFd readable(ends[0]);
  const UniqueFd writable(ends[1]);
  std::atomic<int> begun = 0;
  int seen = 0;
  const std::jthread signals([&] {
    for (int round = 0; round < kRounds; ++round) {
      while (begun == round) {
      }
      for (volatile int pause = (round * 37) % 1'500; pause > 0;) pause = pause - 1;
      (void)!::write(writable.get(), "", 1);
    }
  });
  for (int round = 1; round <= kRounds; ++round) {
    leasepool::detail::Access::core(loop)->engine().poll(readable.get(), POLLIN, [&](Completion) { ++seen; });
    loop.post([&] {
      (void)leave_taskrun_set();
      begun = round;
    });
    outer.drive_until([&] { return seen == round; });
    char byte = 1;
    REQUIRE(::read(readable.get(), &byte, 1) == 1);
  }
}

TEST_CASE("settling between dispatches swallows no wake-up", "[loop][outside]") {
  const Watchdog watchdog("a wake-up that came while the loop settled got lost");
  Loop loop;
  Outer outer(loop);
  outer.settle();
  LoopCore& core = *leasepool::detail::Access::core(loop);
  int ran = 0;
  const Timer timer = loop.call_after(20ms, [&] { ++ran; });
  outer.settle();
  std::thread([&] { loop.post([&] { ++ran; }); }).join();
  CHECK_FALSE(core.run_completions_until([] { return false; }, core.now() + 1ms));
  outer.drive_until([&] { return ran == 2; });
}

TEST_CASE("posts wake the outer loop each time it sleeps, 20,000 times", "[loop][outside]") {
  const Watchdog watchdog("a post did not wake the outer loop");
  constexpr int kRounds = 20'000;
  Loop loop;
  Outer outer(loop);
  std::atomic<int> answered = 0;
  const std::jthread poster([&] {
    for (int round = 0; round < kRounds; ++round) {
      loop.post([&] {
        ++answered;
        answered.notify_one();
      });
      answered.wait(round);
    }
  });
  outer.drive_until([&] { return answered == kRounds; });
  CHECK(outer.dispatches <= 3 * kRounds);
}

TEST_CASE("one dispatch of a loop that always has something to do still returns", "[loop][outside]") {
  const Watchdog watchdog("dispatch() did not return");
  Loop loop;
  Outer outer(loop);
  int rounds = 0;
  std::function<void()> again = [&] {
    ++rounds;
    loop.post(again);
  };
  loop.post(again);
  for (int i = 0; i < 10; ++i) {
    const int before = rounds;
    REQUIRE(outer.wait(-1ms));
    outer.dispatch();
    REQUIRE(rounds > before);
  }
}

TEST_CASE("a loop with full queues wakes the outer one", "[loop][outside]") {
  const Watchdog watchdog("the doorbell is deaf after the completion queue was full");
  auto core = std::make_shared<LoopCore>(std::make_unique<Ring>(Ring::Limits{.submissions = 2, .completions = 4}));
  const EventFd flood;
  const auto drive_until = [&](const std::function<bool()>& holds) {
    while (!holds()) {
      pollfd watched{.fd = core->poll_fd(), .events = POLLIN, .revents = 0};
      if (::poll(&watched, 1, -1) == 1) core->dispatch();
    }
  };
  for (int round = 0; round < 200; ++round) {
    int polled = 0;
    bool posted = false;
    for (int i = 0; i < 60; ++i) core->engine().poll(flood.get(), POLLIN, [&](Completion) { ++polled; });
    core->dispatch();
    std::thread([&] {
      flood.signal();
      core->post([&] { posted = true; });
    }).join();
    drive_until([&] { return polled == 60 && posted; });
    flood.take();
  }
  core->close();
}
