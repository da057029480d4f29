// Tests of the doorbell under a completion queue that is far too small: an overflow ends its multishot poll, and the
// loop must still hear every thread.
#include <poll.h>

#include <memory>
#include <semaphore>
#include <thread>

#include "catch.hpp"
#include "loop/loop_core.hpp"
#include "loop/ring.hpp"
#include "support/event_fd.hpp"
#include "support/watchdog.hpp"

using leasepool::detail::Completion;
using leasepool::detail::LoopCore;
using leasepool::detail::Ring;
using leasepool::test::EventFd;
using leasepool::test::Watchdog;

TEST_CASE("a loop whose completion queue overflows hears every post", "[loop][post]") {
  const Watchdog watchdog("the doorbell is deaf after the completion queue was full");
  const auto core =
      std::make_shared<LoopCore>(std::make_unique<Ring>(Ring::Limits{.submissions = 2, .completions = 4}));
  constexpr int kRounds = 500;
  constexpr int kPolls = 60;
  const EventFd flood;
  std::binary_semaphore next(0);
  std::binary_semaphore heard(0);
  int polled = 0;
  int rounds = 0;
  // Each round: 60 polls wait for one descriptor, and the thread readies it and posts while the loop sleeps.
  const auto begin = [&] {
    flood.take();
    for (int i = 0; i < kPolls; ++i) core->engine().poll(flood.get(), POLLIN, [&](Completion) { ++polled; });
    next.release();
  };
  std::jthread poster([&] {
    for (int round = 0; round < kRounds; ++round) {
      next.acquire();
      flood.signal();
      core->post([&] { heard.release(); });
      heard.acquire();
      core->post([&] {
        ++rounds;
        if (rounds == kRounds) {
          core->request_stop();
        } else {
          begin();
        }
      });
    }
  });
  begin();
  core->run_until_stopped();
  poster.join();
  CHECK(rounds == kRounds);
  while (polled < kRounds * kPolls) core->dispatch();
  core->close();
}
