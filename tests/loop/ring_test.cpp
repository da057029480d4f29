// Tests of Ring on a real kernel: operations, cancelling, and that a late completion cannot reach a slot's next user.
#include "loop/ring.hpp"

#include <fcntl.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "ring_turns.hpp"
#include "support/child.hpp"
#include "support/event_fd.hpp"
#include "support/process_state.hpp"
#include "support/socket_pair.hpp"

using leasepool::detail::Completion;
using leasepool::detail::OperationId;
using leasepool::detail::Ring;
using leasepool::test::EventFd;
using leasepool::test::finish;
using leasepool::test::open_descriptors;
using leasepool::test::Record;
using leasepool::test::run_in_child;
using leasepool::test::SocketPair;
using leasepool::test::turn;

TEST_CASE("what is sent is received", "[ring]") {
  Ring ring;
  const SocketPair sockets;
  Record sent;
  Record received;
  constexpr std::string_view kText = "through the ring";
  std::array<std::byte, 64> into{};
  ring.recv(sockets.theirs.get(), into, received.handler());
  ring.send(sockets.ours.get(), std::as_bytes(std::span(kText)), sent.handler());
  CHECK(ring.in_flight() == 2);
  CHECK(ring.has_unsubmitted());
  finish(ring);
  REQUIRE(sent.all.size() == 1);
  REQUIRE(received.all.size() == 1);
  CHECK(sent.all[0].result == static_cast<int>(kText.size()));
  CHECK_FALSE(sent.all[0].more);
  CHECK(received.all[0].result == static_cast<int>(kText.size()));
  CHECK(std::string_view(reinterpret_cast<const char*>(into.data()), kText.size()) == kText);
  CHECK_FALSE(ring.has_unsubmitted());
}

TEST_CASE("sending to a socket whose other end is gone is an error and no signal", "[ring]") {
  Ring ring;
  SocketPair sockets;
  sockets.theirs.reset();
  Record sent;
  ring.send(sockets.ours.get(), std::as_bytes(std::span("x", 1)), sent.handler());
  finish(ring);
  REQUIRE(sent.all.size() == 1);
  CHECK(sent.all[0].result == -EPIPE);
}

TEST_CASE("a poll reports once, a multishot poll each time", "[ring]") {
  Ring ring;
  const EventFd event;
  Record once;
  Record each;
  ring.poll(event.get(), POLLIN, once.handler());
  const OperationId multishot = ring.poll_multishot(event.get(), POLLIN, each.handler());
  for (std::size_t times = 1; times <= 3; ++times) {
    event.signal();
    while (each.all.size() < times || once.all.empty()) turn(ring);
    CHECK(once.all.size() == 1);
    CHECK(each.all.size() == times);
    CHECK(each.all.back().more);
    CHECK((each.all.back().result & POLLIN) != 0);
  }
  CHECK(once.all[0].result == POLLIN);
  CHECK_FALSE(once.all[0].more);
  CHECK(ring.in_flight() == 1);

  ring.cancel(multishot);
  finish(ring);
  CHECK(each.all.size() == 4);
  CHECK(each.all.back().result == -ECANCELED);
  CHECK_FALSE(each.all.back().more);
}

TEST_CASE("a cancelled operation ends by its own completion", "[ring]") {
  Ring ring;
  const SocketPair sockets;
  Record received;
  std::array<std::byte, 16> into{};
  const OperationId id = ring.recv(sockets.ours.get(), into, received.handler());
  SECTION("once the kernel has it") { ring.submit_and_reap(); }
  SECTION("before the kernel has it") {}
  CHECK(received.all.empty());
  ring.cancel(id);
  finish(ring);
  REQUIRE(received.all.size() == 1);
  CHECK(received.all[0].result == -ECANCELED);
}

TEST_CASE("cancelling nothing, or what has ended, reaches nobody else", "[ring]") {
  Ring ring;
  const EventFd ready;
  const EventFd quiet;
  Record first;
  Record second;
  ready.signal();
  const OperationId ended = ring.poll(ready.get(), POLLIN, first.handler());
  finish(ring);
  const OperationId next = ring.poll(quiet.get(), POLLIN, second.handler());
  CHECK(static_cast<std::uint32_t>(ended) == static_cast<std::uint32_t>(next));  // the slot is used again,
  CHECK(ended != next);                                                          // the id is not

  ring.cancel(0);
  ring.cancel(ended);
  ring.submit_and_reap();
  ring.run_handlers();
  CHECK(ring.in_flight() == 1);
  quiet.signal();
  finish(ring);
  CHECK(first.all.size() == 1);
  REQUIRE(second.all.size() == 1);
  CHECK(second.all[0].result == POLLIN);
}

TEST_CASE("an operation cancelled as it completes gives its result or the cancellation, and one only", "[ring]") {
  Ring ring;
  for (int round = 0; round < 1000; ++round) {
    const EventFd event;
    Record polled;
    const OperationId id = ring.poll(event.get(), POLLIN, polled.handler());
    if (round % 2 == 0) ring.submit_and_reap();
    event.signal();
    ring.cancel(id);
    finish(ring);
    REQUIRE(polled.all.size() == 1);
    REQUIRE((polled.all[0].result == POLLIN || polled.all[0].result == -ECANCELED));
  }
}

TEST_CASE("ids of operations are never used again, though slots are", "[ring]") {
  Ring ring;
  const EventFd event;
  event.signal();
  std::set<OperationId> seen;
  std::set<std::uint32_t> slots;
  for (int i = 0; i < 2000; ++i) {
    const OperationId id = ring.poll(event.get(), POLLIN, [](Completion) {});
    REQUIRE(seen.insert(id).second);
    slots.insert(static_cast<std::uint32_t>(id));
    finish(ring);
  }
  CHECK(slots.size() == 1);
}

TEST_CASE("handlers may start operations, whose completions come in a later round", "[ring]") {
  Ring ring;
  const EventFd event;
  event.signal();
  int ended = 0;
  int depth = 0;
  int deepest = 0;
  std::function<void(Completion)> again = [&](Completion) {
    deepest = std::max(deepest, ++depth);
    if (++ended < 1000) ring.poll(event.get(), POLLIN, again);
    --depth;
  };
  ring.poll(event.get(), POLLIN, again);
  finish(ring);
  CHECK(ended == 1000);
  CHECK(deepest == 1);
}

TEST_CASE("a handler that throws takes no other completion along", "[ring]") {
  Ring ring;
  const EventFd event;
  event.signal();
  int ended = 0;
  for (int i = 0; i < 3; ++i) {
    ring.poll(event.get(), POLLIN, [&ended, i](Completion) {
      ++ended;
      throw i;
    });
  }
  int thrown = 0;
  while (ring.in_flight() != 0) {
    if (!ring.has_reaped()) ring.submit_and_wait();
    try {
      ring.run_handlers();
    } catch (int) {
      ++thrown;
    }
  }
  CHECK(ended == 3);
  CHECK(thrown == 3);
}

TEST_CASE("a ring gives its descriptor back and does not pass it to programs that are started", "[ring]") {
  const auto before = open_descriptors();
  {
    const Ring ring;
    CHECK((::fcntl(ring.fd(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(open_descriptors() != before);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a forked child has no access to its parent's ring, and the parent's goes on", "[ring]") {
  Ring ring;
  const EventFd event;
  Record polled;
  ring.poll(event.get(), POLLIN, polled.handler());
  ring.submit_and_reap();
  const auto child = run_in_child([&] { ring.submit_and_reap(); });
  CHECK(child.killed_by(SIGSEGV));
  CHECK(polled.all.empty());
  event.signal();
  finish(ring);
  REQUIRE(polled.all.size() == 1);
  CHECK(polled.all[0].result == POLLIN);
}
