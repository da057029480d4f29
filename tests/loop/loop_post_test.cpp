// Tests of Loop::post and stop() from many threads: nothing lost, each thread's order kept, no wake-up missed.
#include <atomic>
#include <cstddef>
#include <functional>
#include <latch>
#include <memory>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"
#include "loop/loop_core.hpp"
#include "support/watchdog.hpp"

using leasepool::Loop;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

TEST_CASE("eight threads post 1,000,000 functions of which none is lost or out of its thread's order", "[loop][post]") {
  const Watchdog watchdog("posts got lost");
  constexpr int kThreads = 8;
  constexpr int kEach = 125'000;
  Loop loop;
  std::vector<int> next(kThreads, 0);
  bool in_order = true;
  int left = kThreads * kEach;
  std::latch start(kThreads);
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      start.arrive_and_wait();
      for (int i = 0; i < kEach; ++i) {
        loop.post([&, thread, i] {
          in_order = in_order && next[static_cast<std::size_t>(thread)]++ == i;
          if (--left == 0) loop.stop();
        });
      }
    });
  }
  loop.run();
  CHECK(left == 0);
  CHECK(in_order);
  CHECK(next == std::vector<int>(kThreads, kEach));
}

TEST_CASE("200,000 rounds between a thread and a loop that both sleep miss no wake-up", "[loop][post]") {
  const Watchdog watchdog("a wake-up was missed: the loop sleeps with a post in its inbox");
  constexpr int kRounds = 200'000;
  Loop loop;
  std::binary_semaphore answered(0);
  int rounds = 0;
  std::jthread player([&] {
    for (int round = 0; round < kRounds; ++round) {
      loop.post([&] {
        ++rounds;
        answered.release();
      });
      answered.acquire();
    }
    loop.stop();
  });
  loop.run();
  player.join();
  CHECK(rounds == kRounds);
}

TEST_CASE("two threads that post just as the loop falls asleep miss no wake-up", "[loop][post]") {
  const Watchdog watchdog("a wake-up was missed: the loop sleeps with a post in its inbox");
  constexpr int kRounds = 50'000;
  Loop loop;
  std::atomic<int> answered = 0;
  int posts = 0;
  std::vector<std::jthread> players;
  for (int player = 0; player < 2; ++player) {
    players.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        const int before = answered.load();
        loop.post([&] {
          if (++posts == 2 * kRounds) loop.stop();
          ++answered;
          answered.notify_all();
        });
        answered.wait(before);
      }
    });
  }
  loop.run();
  CHECK(posts == 2 * kRounds);
}

TEST_CASE("a post of the loop's own thread runs on the next turn, not inside the call", "[loop][post]") {
  const Watchdog watchdog("a post never ran");
  Loop loop;
  std::vector<int> ran;
  loop.post([&] {
    ran.push_back(1);
    loop.post([&] {
      ran.push_back(3);
      loop.stop();
    });
    ran.push_back(2);
  });
  CHECK(ran.empty());
  loop.run();
  CHECK(ran == std::vector<int>{1, 2, 3});
}

TEST_CASE("a post of a post leaves room for timers", "[loop][post]") {
  const Watchdog watchdog("posts that post starved a timer");
  Loop loop;
  std::function<void()> again = [&] { loop.post(again); };
  loop.post(again);
  const auto timer = loop.call_after(1ms, [&] { loop.stop(); });
  loop.run();
  SUCCEED("the timer ran");
}

TEST_CASE("another thread stops a loop that sleeps", "[loop][stop]") {
  const Watchdog watchdog("stop() did not end run()");
  Loop loop;
  std::latch running(1);
  loop.post([&] { running.count_down(); });
  const std::jthread stopper([&] {
    running.wait();
    loop.stop();
  });
  loop.run();
  SUCCEED("run() ended");
}

// A use of what is gone fails it under AddressSanitizer or ThreadSanitizer; in a plain build, a hang alone does.
TEST_CASE("a loop may be destroyed as soon as the stop() of another thread has ended it", "[loop][stop]") {
  const Watchdog watchdog("stop() did not end run()");
  for (int round = 0; round < 500; ++round) {
    auto loop = std::make_unique<Loop>();
    std::jthread stopper([stopped = loop.get()] { stopped->stop(); });
    loop->run();
    loop.reset();  // the other thread may still be on its way out of stop()
  }
  SUCCEED("each run() ended");
}

TEST_CASE("a stop before run() ends it at once, and the next run() runs", "[loop][stop]") {
  const Watchdog watchdog("run() did not end");
  Loop loop;
  loop.stop();
  loop.run();
  int ran = 0;
  for (int round = 0; round < 3; ++round) {
    loop.post([&] {
      ++ran;
      loop.stop();
    });
    loop.run();
    CHECK(ran == round + 1);
  }
}

TEST_CASE("what was posted before stop() has run when run() ends", "[loop][stop]") {
  const Watchdog watchdog("run() did not end");
  Loop loop;
  int ran = 0;
  for (int i = 0; i < 100; ++i) loop.post([&] { ++ran; });
  loop.stop();
  loop.run();
  CHECK(ran == 100);
}

TEST_CASE("stop() does not end block_on()", "[loop][stop]") {
  const Watchdog watchdog("block_on() did not end");
  Loop loop;
  const auto body = [](Loop& driver) -> leasepool::Task<int> {
    driver.stop();
    co_await driver.sleep(2ms);
    co_return 5;
  };
  CHECK(loop.block_on(body(loop)) == 5);
  loop.run();  // the stop is still there
}

TEST_CASE("posts carry what cannot be copied, and destroy it after their run", "[loop][post]") {
  const Watchdog watchdog("a post never ran");
  Loop loop;
  auto token = std::make_shared<int>(0);
  auto owned = std::make_unique<std::shared_ptr<int>>(token);
  loop.post([owned = std::move(owned)] { ++**owned; });
  loop.post([&] { loop.stop(); });
  CHECK(token.use_count() == 2);
  loop.run();
  CHECK(*token == 1);
  CHECK(token.use_count() == 1);
}

TEST_CASE("a loop that is destroyed while threads post runs no post afterwards and leaks none", "[loop][post]") {
  const Watchdog watchdog("a loop did not end");
  for (int round = 0; round < 100; ++round) {
    const auto token = std::make_shared<int>(0);
    std::atomic<bool> gone = false;
    std::atomic<int> ran_late = 0;
    std::latch start(3);
    std::vector<std::jthread> threads;  // which outlive the loop, as a pool's may
    {
      Loop loop;
      for (int thread = 0; thread < 2; ++thread) {
        threads.emplace_back([&start, &gone, &ran_late, token, inbox = leasepool::detail::Access::core(loop)->inbox()] {
          start.arrive_and_wait();
          for (int i = 0; i < 200; ++i) {
            inbox->post([&gone, &ran_late, token] {
              if (gone) ++ran_late;
            });
          }
        });
      }
      start.arrive_and_wait();
      if (round % 2 == 0) {
        loop.stop();
        loop.run();
      }
    }
    gone = true;
    threads.clear();
    REQUIRE(token.use_count() == 1);
    REQUIRE(ran_late == 0);
  }
}
