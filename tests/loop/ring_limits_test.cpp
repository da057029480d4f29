// Tests of Ring with queues that are far too small: nothing is lost when either is full.
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

#include "catch.hpp"
#include "loop/ring.hpp"
#include "ring_turns.hpp"
#include "support/event_fd.hpp"
#include "support/watchdog.hpp"

using leasepool::detail::Completion;
using leasepool::detail::OperationId;
using leasepool::detail::Ring;
using leasepool::test::EventFd;
using leasepool::test::finish;
using leasepool::test::turn;
using leasepool::test::Watchdog;

namespace {

// Starts `count` polls of which each notes how often it completed, and with what.
struct ManyPolls {
  ManyPolls(Ring& ring, const EventFd& event, std::size_t count) : completions(count, 0) {
    for (std::size_t i = 0; i < count; ++i) {
      ring.poll(event.get(), POLLIN, [this, i](Completion completion) {
        ++completions[i];
        all_ready = all_ready && completion.result == POLLIN && !completion.more;
      });
    }
  }
  ManyPolls(const ManyPolls&) = delete;
  ManyPolls& operator=(const ManyPolls&) = delete;
  [[nodiscard]] bool each_once() const {
    return std::ranges::all_of(completions, [](int times) { return times == 1; });
  }
  std::vector<int> completions;
  bool all_ready = true;
};

}  // namespace

TEST_CASE("more operations than the submission queue holds can be started in one turn", "[ring]") {
  const Watchdog watchdog("operations got lost when the submission queue was full");
  Ring ring({.submissions = 4, .completions = 64});
  const EventFd event;

  SECTION("which complete at once, while others are still started") {
    event.signal();
    const ManyPolls polls(ring, event, 1000);
    CHECK(std::ranges::all_of(polls.completions, [](int times) { return times == 0; }));  // no handler before its turn
    finish(ring);
    CHECK(polls.each_once());
    CHECK(polls.all_ready);
  }
  SECTION("which complete later") {
    const ManyPolls polls(ring, event, 1000);
    ring.submit_and_reap();
    event.signal();
    finish(ring);
    CHECK(polls.each_once());
    CHECK(polls.all_ready);
  }
  SECTION("which are cancelled in the same turn, as many at once") {
    std::vector<OperationId> ids;
    int cancelled = 0;
    for (int i = 0; i < 500; ++i) {
      ids.push_back(ring.poll(event.get(), POLLIN, [&](Completion completion) {
        if (completion.result == -ECANCELED) ++cancelled;
      }));
    }
    for (const auto id : ids) ring.cancel(id);
    finish(ring);
    CHECK(cancelled == 500);
  }
}

TEST_CASE("completions that do not fit into the completion queue all arrive, once", "[ring]") {
  const Watchdog watchdog("completions got lost when the completion queue was full");
  Ring ring({.submissions = 2, .completions = 4});
  const EventFd event;
  for (int round = 0; round < 20; ++round) {
    const ManyPolls polls(ring, event, 500);
    ring.submit_and_reap();
    event.signal();  // 500 completions for 4 places
    finish(ring);
    REQUIRE(polls.each_once());
    REQUIRE(polls.all_ready);
    event.take();
  }
}

TEST_CASE("a multishot poll that a full completion queue ended says so, and works again once re-armed", "[ring]") {
  const Watchdog watchdog("a multishot poll is deaf after the completion queue was full");
  Ring ring({.submissions = 2, .completions = 4});
  const EventFd bell;
  const EventFd flood;
  int heard = 0;
  int armed = 0;
  bool listening = false;
  OperationId id = 0;
  const auto arm = [&] {
    if (listening) return;
    listening = true;
    ++armed;
    id = ring.poll_multishot(bell.get(), POLLIN, [&](Completion completion) {
      if (completion.result > 0) ++heard;
      if (!completion.more) listening = false;
    });
  };
  for (int round = 0; round < 50; ++round) {
    const int heard_before = heard;
    arm();
    const ManyPolls polls(ring, flood, 100);
    ring.submit_and_reap();
    flood.signal();
    bell.signal();
    while (ring.in_flight() > (listening ? 1U : 0U) || heard == heard_before) {
      arm();
      turn(ring);
    }
    REQUIRE(polls.each_once());
    flood.take();
    bell.take();
  }
  CHECK(heard >= 50);
  if (armed == 1) WARN("this kernel keeps a multishot poll through an overflow: nothing was re-armed");
  ring.cancel(listening ? id : 0);
  finish(ring);
}

TEST_CASE("an operation is cancelled at once behind more completions than there is room for", "[ring]") {
  const Watchdog watchdog("a cancelled operation's completion was not found");
  Ring ring({.submissions = 2, .completions = 4});
  const EventFd flood;
  const EventFd never;
  int result = 0;
  const OperationId id = ring.poll(never.get(), POLLIN, [&](Completion completion) { result = completion.result; });
  const ManyPolls polls(ring, flood, 100);
  ring.submit_and_reap();
  flood.signal();
  CHECK(ring.cancel_and_reap(id) == -ECANCELED);
  CHECK(ring.in_flight() == 101);  // nothing was given up
  ring.run_handlers();             // of what has come already: a wait would be for more
  finish(ring);
  CHECK(result == -ECANCELED);
  CHECK(polls.each_once());
}
