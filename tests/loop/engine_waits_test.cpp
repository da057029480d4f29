// Tests that hold of either engine: polls, deadlines, cancelling, waking up, and descriptors that come and go.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "base/clock.hpp"
#include "engine_operations.hpp"
#include "loop/epoll_engine.hpp"
#include "loop/ring.hpp"
#include "support/child.hpp"
#include "support/event_fd.hpp"
#include "support/process_state.hpp"
#include "support/socket_pair.hpp"
#include "support/watchdog.hpp"

namespace engine_waits {

using namespace leasepool::test;
using leasepool::Duration;
using leasepool::TimePoint;
using leasepool::detail::EpollEngine;
using leasepool::detail::monotonic_now;
using leasepool::detail::Ring;
using leasepool::detail::UniqueFd;
using namespace std::chrono_literals;

// How many waits end before the deadline has passed.
inline int waits_until(Engine& engine, TimePoint deadline) {
  int waits = 0;
  while (monotonic_now() < deadline) {
    engine.set_wakeup(deadline);
    engine.submit_and_wait();
    engine.run_handlers();
    ++waits;
  }
  return waits;
}

}  // namespace engine_waits

TEMPLATE_TEST_CASE("a poll reports once, a multishot poll each time that something comes", "[engine][I8]",
                   leasepool::detail::Ring, leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  const Watchdog watchdog("a poll did not report");
  TestType engine;
  const EventFd event;  // never read
  Record once;
  Record each;
  engine.poll(event.get(), POLLIN, once.handler());
  const OperationId multishot = engine.poll_multishot(event.get(), POLLIN, each.handler());
  settle(engine);
  CHECK(once.all.empty());
  CHECK(each.all.empty());
  for (std::size_t times = 1; times <= 3; ++times) {
    event.signal();
    while (each.all.size() < times || once.all.empty()) turn(engine);
    settle(engine);
    CHECK(once.all.size() == 1);
    CHECK(each.all.size() == times);
    CHECK(each.all.back().more);
    CHECK(each.all.back().result == POLLIN);
  }
  CHECK(once.all[0].result == POLLIN);
  CHECK_FALSE(once.all[0].more);
  CHECK(result_of(engine, {.kind = Kind::poll, .fd = event.get(), .flags = POLLIN}) == POLLIN);
  engine.cancel(multishot);
  finish(engine);
  CHECK(each.all.back().result == -ECANCELED);
  CHECK_FALSE(each.all.back().more);
}

TEMPLATE_TEST_CASE("a multishot poll reports what is there when it begins", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  const Watchdog watchdog("a poll did not report");
  TestType engine;
  const EventFd event;
  event.signal();
  for (int round = 0; round < 3; ++round) {
    Record each;
    const OperationId id = engine.poll_multishot(event.get(), POLLIN, each.handler());
    while (each.all.empty()) turn(engine);
    CHECK(each.all[0].more);
    engine.cancel(id);
    finish(engine);
  }
}

TEMPLATE_TEST_CASE("a poll for nothing ends by its deadline, its cancellation or the other's end", "[engine][I8]",
                   leasepool::detail::Ring, leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  const Watchdog watchdog("a poll for nothing did not end");
  TestType engine;
  SocketPair sockets;
  const TimePoint deadline = monotonic_now() + 2ms;
  const Completion timed = completion_of(engine, {.kind = Kind::poll, .fd = sockets.ours.get()}, deadline);
  CHECK(timed.timed_out);
  CHECK(timed.result == -ECANCELED);
  CHECK(monotonic_now() >= deadline);
  Record record;
  engine.poll(sockets.ours.get(), 0, record.handler());
  settle(engine);
  CHECK(record.all.empty());
  sockets.theirs.reset();
  finish(engine);
  CHECK((record.all[0].result & POLLHUP) != 0);
}

TEMPLATE_TEST_CASE("an operation ends at its deadline at the latest", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  const Watchdog watchdog("an operation outlived its deadline");
  TestType engine;
  const SocketPair sockets;
  std::array<std::byte, 8> into{};
  Record record;
  const auto receive = [&](TimePoint deadline) {
    return engine.recv(sockets.theirs.get(), into, record.handler(), deadline);
  };
  SECTION("it is done first") {
    receive(monotonic_now() + 1h);
    settle(engine);
    REQUIRE(::send(sockets.ours.get(), "abc", 3, 0) == 3);
    finish(engine);
    CHECK(record.all[0].result == 3);
    CHECK_FALSE(record.all[0].timed_out);
  }
  SECTION("its time is over before it began") {
    receive(TimePoint());
    finish(engine);
    CHECK(record.all[0].result == -ECANCELED);
    CHECK(record.all[0].timed_out);
  }
  SECTION("many, never early") {
    std::mt19937 random(7);
    std::size_t early = 0;
    std::size_t ended = 0;
    const EventFd event;
    for (int i = 0; i < 300; ++i) {
      const TimePoint deadline = monotonic_now() + std::chrono::microseconds(random() % 20'000);
      engine.poll(
          event.get(), POLLIN,
          [&, deadline](Completion completion) {
            ++ended;
            if (monotonic_now() < deadline || !completion.timed_out) ++early;
          },
          deadline);
    }
    finish(engine);
    CHECK(ended == 300);
    CHECK(early == 0);
  }
  SECTION("moved to an earlier time") {
    const OperationId id = receive(monotonic_now() + 1h);
    settle(engine);
    engine.set_deadline(id, monotonic_now() + 1ms);
    finish(engine);
    CHECK(record.all[0].timed_out);
  }
  SECTION("moved to a later one") {
    const OperationId id = receive(monotonic_now() + 20ms);
    settle(engine);
    const TimePoint later = monotonic_now() + 40ms;
    engine.set_deadline(id, later);
    finish(engine);
    CHECK(record.all[0].timed_out);
    CHECK(monotonic_now() >= later);
  }
  SECTION("moved when it has ended") {
    REQUIRE(::send(sockets.ours.get(), "abc", 3, 0) == 3);
    const OperationId id = receive(monotonic_now() + 1h);
    finish(engine);
    engine.set_deadline(id, monotonic_now());
    receive(kNever);
    settle(engine);
    CHECK(record.all.size() == 1);
    CHECK(engine.in_flight() == 1);
    REQUIRE(::send(sockets.ours.get(), "abc", 3, 0) == 3);
    finish(engine);
  }
}

TEMPLATE_TEST_CASE("a cancelled operation gives its result or the cancellation, and one only", "[engine][I8]",
                   leasepool::detail::Ring, leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  TestType engine;
  for (int round = 0; round < 500; ++round) {
    const EventFd event;
    Record polled;
    const OperationId id = engine.poll(event.get(), POLLIN, polled.handler());
    if (round % 2 == 0) engine.submit_and_reap();
    if (round % 3 == 0) event.signal();
    engine.cancel(id);
    engine.cancel(id);
    CHECK(polled.all.empty());
    finish(engine);
    REQUIRE(polled.all.size() == 1);
    REQUIRE((polled.all[0].result == POLLIN || polled.all[0].result == -ECANCELED));
    engine.cancel(id);  // names nobody any more
  }
}

TEMPLATE_TEST_CASE("nothing is written to a buffer once it was cancelled and reaped", "[engine][I8]",
                   leasepool::detail::Ring, leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  TestType engine;
  const SocketPair sockets;
  std::size_t sent = 0;
  std::size_t come = 0;
  for (int round = 0; round < 200; ++round) {
    Record record;
    auto into = std::make_unique<std::array<std::byte, 8>>();
    const OperationId id = engine.recv(sockets.theirs.get(), *into, record.handler());
    if (round % 2 == 0) engine.submit_and_reap();
    if (round % 3 == 0) sent += static_cast<std::size_t>(::send(sockets.ours.get(), "x", 1, 0));
    engine.cancel_and_reap(id);
    CHECK(record.all.empty());
    into.reset();
    if (round % 5 == 0) sent += static_cast<std::size_t>(::send(sockets.ours.get(), "y", 1, 0));
    engine.run_handlers();  // it was reaped: only what comes ends a wait
    finish(engine);
    REQUIRE(record.all.size() == 1);
    if (record.all[0].result > 0) come += static_cast<std::size_t>(record.all[0].result);
  }
  std::array<char, 200> rest{};
  const ssize_t left = ::recv(sockets.theirs.get(), rest.data(), rest.size(), MSG_DONTWAIT);
  CHECK(sent == come + static_cast<std::size_t>(std::max<ssize_t>(left, 0)));
}

TEMPLATE_TEST_CASE("handlers start others, throw, and are run by nothing else", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  TestType engine;
  const EventFd event;
  event.signal();
  int ended = 0;
  int depth = 0;
  std::function<void(Completion)> again = [&](Completion) {
    CHECK(depth++ == 0);
    if (++ended < 100) engine.poll(event.get(), POLLIN, again);
    --depth;
  };
  engine.poll(event.get(), POLLIN, again);
  finish(engine);
  CHECK(ended == 100);

  int thrown = 0;
  for (int i = 0; i < 3; ++i) {
    engine.poll(event.get(), POLLIN, [](Completion) { throw 1; });
  }
  while (engine.in_flight() != 0) {
    engine.submit_and_reap();
    try {
      engine.run_handlers();
    } catch (int) {
      ++thrown;
    }
  }
  CHECK(thrown == 3);
}

TEMPLATE_TEST_CASE("a thousand descriptors are each heard", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  const Watchdog watchdog("one of many was not heard");
  TestType engine;
  std::vector<EventFd> events(500);
  std::vector<int> heard(events.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    engine.poll(events[i].get(), POLLIN, [&heard, i](Completion completion) { heard[i] += completion.result; });
    engine.poll(events[i].get(), POLLIN, [&heard, i](Completion completion) { heard[i] += completion.result; });
  }
  settle(engine);
  for (const EventFd& event : events) event.signal();
  finish(engine);
  CHECK(std::ranges::count(heard, 2 * POLLIN) == 500);
}

TEMPLATE_TEST_CASE("a number that is another descriptor's by now is heard, too", "[engine][I8]",
                   leasepool::detail::Ring, leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  const Watchdog watchdog("a descriptor whose number had been another's was not heard");
  TestType engine;
  const bool kept_elsewhere = GENERATE(false, true);
  std::vector<UniqueFd> kept;
  std::set<int> numbers;
  for (int round = 0; round < 200; ++round) {
    SocketPair sockets;
    if (kept_elsewhere) kept.push_back(sockets.ours.duplicate());  // its registration outlives the number
    numbers.insert(sockets.ours.get());
    Record record;
    std::array<std::byte, 4> into{};
    OperationId id = 0;
    switch (round % 4) {
      case 0: id = engine.recv(sockets.ours.get(), into, record.handler()); break;
      case 1: id = engine.poll(sockets.ours.get(), POLLIN, record.handler()); break;
      case 2: id = engine.poll_multishot(sockets.ours.get(), POLLIN, record.handler()); break;
      default: id = engine.recv(sockets.ours.get(), into, record.handler(), monotonic_now() + 100us); break;
    }
    settle(engine);
    if (round % 4 == 3) {
      finish(engine);
      REQUIRE(record.all[0].timed_out);
      continue;
    }
    REQUIRE(::send(sockets.theirs.get(), "x", 1, 0) == 1);
    while (record.all.empty()) turn(engine);
    REQUIRE(record.all[0].result == 1);
    if (round % 4 == 2) engine.cancel(id);
    finish(engine);
    if (round % 8 < 4) (void)!::send(sockets.theirs.get(), "y", 1, MSG_DONTWAIT);  // when nobody listens
  }
  CHECK(numbers.size() <= (kept_elsewhere ? 200 : 3));
  // What the closed ones still report keeps nobody awake.
  CHECK(waits_until(engine, monotonic_now() + 30ms) <= 3);
}

TEMPLATE_TEST_CASE("two descriptors of one file are each served", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  const Watchdog watchdog("one of two descriptors of a file was not heard");
  TestType engine;
  const SocketPair sockets;
  UniqueFd other = sockets.ours.duplicate();
  std::array<std::byte, 1> into{};
  Record one;
  Record two;
  engine.poll(other.get(), POLLIN, two.handler());
  engine.recv(sockets.ours.get(), into, one.handler());
  settle(engine);
  REQUIRE(::send(sockets.theirs.get(), "xy", 2, 0) == 2);
  finish(engine);
  CHECK(one.all[0].result == 1);
  CHECK(two.all[0].result == POLLIN);
  other.reset();
  CHECK(result_of(engine, {.kind = Kind::recv, .fd = sockets.ours.get(), .data = into.data(), .size = 1}) == 1);
}

TEMPLATE_TEST_CASE("whoever waits for nothing that comes sleeps", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  TestType engine;
  const EventFd event;
  SocketPair gone;
  Record each;
  Record never;
  event.signal();
  const OperationId bell = engine.poll_multishot(event.get(), POLLIN, each.handler());  // readable for ever
  const OperationId priority = engine.poll(event.get(), POLLPRI, never.handler());
  std::array<std::byte, 1> into{};
  Record received;
  engine.recv(gone.ours.get(), into, received.handler());
  settle(engine);
  gone.theirs.reset();  // hung up for ever
  while (received.all.empty()) turn(engine);
  settle(engine);
  CHECK(waits_until(engine, monotonic_now() + 50ms) <= 3);
  CHECK(never.all.empty());
  engine.cancel(bell);
  engine.cancel(priority);
  finish(engine);
}

TEMPLATE_TEST_CASE("a wait ends at the wake-up and not before", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  const Watchdog watchdog("a wake-up never came");
  TestType engine;
  for (const Duration delay : {Duration(0), Duration(1us), Duration(1ms), Duration(20ms)}) {
    CHECK(waits_until(engine, monotonic_now() + delay) <= 3);
  }
  engine.set_wakeup(monotonic_now() - 10s);
  engine.submit_and_wait();
  engine.run_handlers();
  engine.set_wakeup(TimePoint::min());
  engine.submit_and_wait();
  engine.run_handlers();
  engine.set_wakeup(monotonic_now() + 1h);
  settle(engine);
  CHECK(waits_until(engine, monotonic_now() + 5ms) <= 3);  // brought forward
  // Taken back: only what completes ends the wait.
  const EventFd event;
  Record record;
  engine.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 10ms);
  engine.set_wakeup(monotonic_now() + 1ms);
  settle(engine);
  engine.set_wakeup(TimePoint::max());
  int waits = 0;
  for (; record.all.empty(); ++waits) turn(engine);
  CHECK(waits <= 3);
}

TEMPLATE_TEST_CASE("a forked child does not disturb its parent's operations", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_waits;
  const Watchdog watchdog("an operation was lost to a child");
  TestType engine;
  const EventFd event;
  Record polled;
  engine.poll(event.get(), POLLIN, polled.handler());
  settle(engine);
  for (const bool cancels : {false, true}) {
    const auto child = run_in_child([&] {
      if (cancels) engine.cancel_and_reap(engine.poll(event.get(), POLLOUT, [](Completion) {}));
      engine.submit_and_reap();
    });
    CHECK((child.killed_by(SIGSEGV) || child.killed_by(SIGABRT)));
  }
  CHECK(polled.all.empty());
  event.signal();
  finish(engine);
  CHECK(polled.all[0].result == POLLIN);
}

TEST_CASE("an engine on epoll gives its descriptors back, and its handlers when it is given up", "[engine][I8]") {
  using namespace engine_waits;
  const auto before = open_descriptors();
  const auto token = std::make_shared<int>(0);
  {
    EpollEngine engine;
    const EventFd event;
    engine.poll(event.get(), POLLIN, [token](Completion) {}, monotonic_now() + 1h);
    settle(engine);
    engine.poll(event.get(), POLLIN, [token](Completion) {});
    CHECK(token.use_count() == 3);
    engine.give_up();
    CHECK(engine.in_flight() == 0);
    CHECK(token.use_count() == 1);
    engine.cancel(1);
    CHECK(engine.submit_and_reap() != 0);
    engine.run_handlers();
  }
  CHECK(open_descriptors() == before);
}
