// Tests of operations with a timeout linked to them, on a real kernel.
#include <poll.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "catch.hpp"
#include "loop/ring.hpp"
#include "ring_turns.hpp"
#include "submissions.hpp"
#include "support/event_fd.hpp"
#include "support/socket_pair.hpp"
#include "support/watchdog.hpp"

using leasepool::TimePoint;
using leasepool::detail::Completion;
using leasepool::detail::kNever;
using leasepool::detail::monotonic_now;
using leasepool::detail::OperationId;
using leasepool::detail::Ring;
using leasepool::test::Cut;
using leasepool::test::Cutting;
using leasepool::test::EventFd;
using leasepool::test::finish;
using leasepool::test::Record;
using leasepool::test::SocketPair;
using leasepool::test::turn;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

TEST_CASE("an operation with a deadline ends there, or when it is done", "[ring][pair]") {
  const Watchdog watchdog("a pair did not end");
  Ring ring;
  const SocketPair sockets;
  std::array<std::byte, 8> into{};
  Record received;
  const auto receive = [&](TimePoint deadline) {
    return ring.recv(sockets.theirs.get(), into, received.handler(), deadline);
  };
  const auto send = [&] { ring.send(sockets.ours.get(), std::as_bytes(std::span("abc", 3)), [](Completion) {}); };

  SECTION("it is done first") {
    receive(monotonic_now() + 1h);
    send();
    finish(ring);
    REQUIRE(received.all.size() == 1);
    CHECK(received.all[0].result == 3);
    CHECK_FALSE(received.all[0].timed_out);
  }
  SECTION("its time is over") {
    const TimePoint deadline = monotonic_now() + 2ms;
    receive(deadline);
    finish(ring);
    CHECK(monotonic_now() >= deadline);
    REQUIRE(received.all.size() == 1);
    CHECK(received.all[0].result == -ECANCELED);
    CHECK(received.all[0].timed_out);
    // What comes later is for the next.
    receive(kNever);
    send();
    finish(ring);
    REQUIRE(received.all.size() == 2);
    CHECK(received.all[1].result == 3);
    CHECK_FALSE(received.all[1].timed_out);
  }
  SECTION("its time is over before it began") {
    receive(TimePoint());
    finish(ring);
    REQUIRE(received.all.size() == 1);
    CHECK(received.all[0].result == -ECANCELED);
    CHECK(received.all[0].timed_out);
  }
  SECTION("it is cancelled") {
    const OperationId id = receive(monotonic_now() + 1h);
    ring.submit_and_reap();
    ring.cancel(id);
    ring.cancel(id);
    finish(ring);
    REQUIRE(received.all.size() == 1);
    CHECK(received.all[0].result == -ECANCELED);
    CHECK_FALSE(received.all[0].timed_out);
  }
  SECTION("it is cancelled before the kernel has heard of it") {
    ring.cancel(receive(monotonic_now() + 1h));
    finish(ring);
    REQUIRE(received.all.size() == 1);
    CHECK_FALSE(received.all[0].timed_out);
  }
}

TEST_CASE("a deadline can be moved while the operation is in flight", "[ring][pair]") {
  const Watchdog watchdog("a moved deadline did not come");
  Ring ring;
  const EventFd event;
  Record record;

  SECTION("to an earlier time") {
    const OperationId id = ring.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 1h);
    ring.submit_and_reap();
    ring.set_deadline(id, monotonic_now() + 1ms);
    finish(ring);
    REQUIRE(record.all.size() == 1);
    CHECK(record.all[0].timed_out);
  }
  SECTION("to a later one") {
    const OperationId id = ring.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 30ms);
    ring.submit_and_reap();
    const TimePoint later = monotonic_now() + 60ms;
    ring.set_deadline(id, later);
    finish(ring);
    REQUIRE(record.all.size() == 1);
    CHECK(record.all[0].timed_out);
    CHECK(monotonic_now() >= later);
  }
  SECTION("before it is submitted, more than once") {
    const OperationId id = ring.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 1h);
    ring.set_deadline(id, monotonic_now() + 2h);
    ring.set_deadline(id, monotonic_now() + 1ms);
    finish(ring);
    REQUIRE(record.all.size() == 1);
    CHECK(record.all[0].timed_out);
  }
  SECTION("when it has ended, that changes nothing") {
    event.signal();
    const OperationId id = ring.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 1h);
    finish(ring);
    ring.set_deadline(id, monotonic_now());
    const OperationId next = ring.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 1h);
    CHECK(next != id);
    finish(ring);
    REQUIRE(record.all.size() == 2);
    CHECK(record.all[1].result == POLLIN);
    CHECK_FALSE(record.all[1].timed_out);
  }
}

TEST_CASE("a full queue does not cut pairs", "[ring][pair]") {
  const Watchdog watchdog("pairs got lost when the queue was full");
  constexpr unsigned kOperations = 300;
  for (const unsigned entries : {1U, 2U, 4U, 8U}) {
    INFO(entries << " entries");
    Ring ring({.submissions = entries, .completions = 64});
    const EventFd event;
    unsigned timed_out = 0;
    unsigned ready = 0;
    const TimePoint deadline = monotonic_now() + 5ms;
    for (unsigned i = 0; i < kOperations; ++i) {
      const bool timed = i % 3 != 0;  // now one entry is free, now two
      ring.poll(
          event.get(), POLLIN, [&](Completion completion) { ++(completion.timed_out ? timed_out : ready); },
          timed ? deadline : kNever);
    }
    while (ring.in_flight() > kOperations / 3) turn(ring);
    event.signal();
    finish(ring);
    CHECK(timed_out == 2 * kOperations / 3);
    CHECK(ready == kOperations / 3);
    // Two entries for each pair, and none to mend one that was cut.
    CHECK(ring.operations() == kOperations + 2 * kOperations / 3);
  }
}

TEST_CASE("a pair that was cut is timed all the same", "[ring][pair]") {
  const Watchdog watchdog("an operation lost its timeout");
  const Cutting cutting(Cut::links);
  Ring ring;
  const EventFd event;
  Record record;
  SECTION("its time is over") {
    ring.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 5ms);
    finish(ring);
    REQUIRE(record.all.size() == 1);
    CHECK(record.all[0].result == -ECANCELED);
    CHECK(record.all[0].timed_out);
  }
  SECTION("it is done first") {
    ring.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 1h);
    turn(ring);
    ring.submit_and_reap();
    event.signal();
    finish(ring);
    REQUIRE(record.all.size() == 1);
    CHECK(record.all[0].result == POLLIN);
    CHECK_FALSE(record.all[0].timed_out);
  }
  SECTION("it is done at once") {
    event.signal();
    ring.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 1h);
    finish(ring);
    REQUIRE(record.all.size() == 1);
    CHECK(record.all[0].result == POLLIN);
    CHECK_FALSE(record.all[0].timed_out);
  }
  SECTION("its deadline is moved") {
    const OperationId id = ring.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 1h);
    turn(ring);
    ring.set_deadline(id, monotonic_now() + 1ms);
    finish(ring);
    REQUIRE(record.all.size() == 1);
    CHECK(record.all[0].timed_out);
  }
  SECTION("it is cancelled") {
    const OperationId id = ring.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 1h);
    turn(ring);
    ring.cancel(id);
    finish(ring);
    REQUIRE(record.all.size() == 1);
    CHECK(record.all[0].result == -ECANCELED);
    CHECK_FALSE(record.all[0].timed_out);
  }
}

TEST_CASE("an operation whose timeout the kernel refuses does not run, and says why", "[ring][pair]") {
  const Watchdog watchdog("a refused pair did not end");
  const Cutting cutting(Cut::timeouts_are_refused);
  Ring ring;
  const EventFd event;
  event.signal();
  Record record;
  ring.poll(event.get(), POLLIN, record.handler(), monotonic_now() + 1h);
  finish(ring);
  REQUIRE(record.all.size() == 1);
  CHECK(record.all[0].result == -EINVAL);
  CHECK_FALSE(record.all[0].timed_out);
}

TEST_CASE("operations and their timeouts that end at the same moment lose nothing", "[ring][pair]") {
  const Watchdog watchdog("a race of an operation and its timeout did not end");
  std::mt19937 random(42);
  Ring ring;
  const SocketPair sockets;
  unsigned sent = 0;
  unsigned received = 0;
  unsigned timed_out = 0;
  unsigned wrong = 0;
  for (int round = 0; round < 3000; ++round) {
    std::array<std::byte, 1> into{};
    const auto deadline = monotonic_now() + std::chrono::microseconds(random() % 60);
    ring.recv(
        sockets.theirs.get(), into,
        [&](Completion completion) {
          if (completion.result == 1) {
            ++received;
          } else {
            ++(completion.timed_out && completion.result == -ECANCELED ? timed_out : wrong);
          }
        },
        deadline);
    ring.submit_and_reap();
    while (monotonic_now() < deadline - std::chrono::microseconds(random() % 10)) ring.submit_and_reap();
    ring.send(sockets.ours.get(), std::as_bytes(std::span("x", 1)), [&](Completion) { ++sent; });
    finish(ring);
  }
  // What was sent and not received is there still.
  while (received < sent) {
    std::array<std::byte, 1> into{};
    ring.recv(sockets.theirs.get(), into,
              [&](Completion completion) { ++(completion.result == 1 ? received : wrong); });
    finish(ring);
  }
  CHECK(sent == 3000);
  CHECK(received == sent);
  CHECK(timed_out > 0);
  CHECK(wrong == 0);
}
