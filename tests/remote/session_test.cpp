// The sessions of a lease: what the simulation meets by chance, step by step.
#include "remote/session.hpp"

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "remote/link.hpp"
#include "remote/manager_lease.hpp"
#include "remote/node_lease.hpp"

namespace remote_sessions {

using namespace std::chrono_literals;
using leasepool::Duration;
using leasepool::TimePoint;
using leasepool::detail::DecodeError;
using namespace leasepool::detail::remote;

constexpr TimePoint kNow{1h};

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Both ends of a lease, and a wire between them that a test may drop messages from.
struct Pair final : NodeLeaseSink, ManagerLeaseSink {
  explicit Pair(const LeaseLimits& limits = {}) : manager(1, limits), node(1, limits, {.until_soft = 1min}, kNow) {}

  void call_came(std::uint64_t call, const CallHead& head, std::span<const std::byte> arguments) override {
    calls.push_back(text_of(arguments));
    numbers.push_back(call);
    heads.push_back(head);
  }
  void cancel_came(std::uint64_t call) override { cancelled.push_back(call); }
  void extension_came(const ExtendBody&) override {}
  void lend_came(const LendBody&) override {}
  void end_came() override { ended = true; }
  void outcome_came(const OutcomeHead& head, std::span<const std::byte> bytes) override {
    outcomes.push_back(head);
    results.push_back(text_of(bytes));
  }
  void extension_holds() override { extended = true; }
  void lease_closed(CloseReason reason) override { closed = reason; }

  std::vector<std::byte> message_of(auto& end) {
    MessageWriter writer(1, 2);
    if (end.wants_to_write()) end.write(writer, std::size_t{1} << 20);
    return {writer.bytes().begin(), writer.bytes().end()};
  }
  void give_node(const std::vector<std::byte>& message, TimePoint now = kNow) {
    MessageReader reader(message);
    while (const auto frame = reader.next()) node.receive(*frame, now, *this);
  }
  void give_manager(const std::vector<std::byte>& message, TimePoint now = kNow) {
    MessageReader reader(message);
    while (const auto frame = reader.next()) manager.receive(*frame, now, *this);
  }
  // Until neither has anything to say.
  void exchange(TimePoint now = kNow) {
    while (manager.wants_to_write() || node.wants_to_write()) {
      give_node(message_of(manager), now);
      give_manager(message_of(node), now);
    }
  }

  ManagerLease manager;
  NodeLease node;
  std::vector<std::string> calls;
  std::vector<std::uint64_t> numbers;
  std::vector<CallHead> heads;
  std::vector<std::uint64_t> cancelled;
  std::vector<OutcomeHead> outcomes;
  std::vector<std::string> results;
  bool extended = false;
  bool ended = false;
  std::optional<CloseReason> closed;
};

}  // namespace remote_sessions

TEST_CASE("N2: a message that comes twice is taken once, and one that was lost comes again", "[remote]") {
  using namespace remote_sessions;
  Pair pair;
  (void)pair.manager.push({.function = 9, .timeout = 3s}, bytes_of("first"));
  const auto first = pair.message_of(pair.manager);
  pair.give_node(first);
  pair.give_node(first);
  CHECK(pair.calls == std::vector<std::string>{"first"});
  CHECK(pair.heads[0].function == 9);
  CHECK(pair.heads[0].timeout == Duration(3s));

  (void)pair.manager.push({}, bytes_of("second"));
  (void)pair.message_of(pair.manager);  // lost
  (void)pair.manager.push({}, bytes_of("third"));
  pair.give_node(pair.message_of(pair.manager));
  CHECK(pair.calls.size() == 1);
  pair.exchange();
  CHECK(pair.calls == std::vector<std::string>{"first", "second", "third"});
  CHECK(pair.manager.resent() == 2);
}

TEST_CASE("N4: after a connection was lost both ends send again what is not acknowledged", "[remote]") {
  using namespace remote_sessions;
  Pair pair;
  const std::uint64_t call = pair.manager.push({}, bytes_of("arguments"));
  (void)pair.message_of(pair.manager);  // lost with the connection
  pair.manager.send_again();
  pair.node.send_again();
  pair.exchange();
  REQUIRE(pair.calls.size() == 1);
  pair.node.call_ended({.call = pair.numbers[0], .kind = OutcomeKind::value}, bytes_of("result"));
  (void)pair.message_of(pair.node);  // lost
  pair.manager.send_again();
  pair.node.send_again();
  pair.exchange();
  CHECK(pair.results == std::vector<std::string>{"result"});
  CHECK(pair.outcomes[0].call == call);
}

TEST_CASE("N3: what was not sent, or not accepted before the lease was closed, has certainly not run", "[remote]") {
  using namespace remote_sessions;
  Pair pair;
  const std::uint64_t accepted = pair.manager.push({}, bytes_of("accepted"));
  CHECK_FALSE(pair.manager.may_have_run(accepted));
  const auto first = pair.message_of(pair.manager);
  CHECK(pair.manager.may_have_run(accepted));
  pair.give_node(first);
  const std::uint64_t late = pair.manager.push({}, bytes_of("late"));
  const auto second = pair.message_of(pair.manager);
  CHECK(pair.manager.may_have_run(late));
  pair.node.call_ended({.call = accepted, .kind = OutcomeKind::failure}, {});
  pair.node.close(CloseReason::expired);
  pair.give_node(second);
  CHECK(pair.calls.size() == 1);
  pair.give_manager(pair.message_of(pair.node));
  CHECK(pair.closed == CloseReason::expired);
  CHECK(pair.outcomes.size() == 1);
  CHECK_FALSE(pair.manager.may_have_run(late));
  CHECK(pair.manager.may_have_run(accepted));
  pair.exchange();
  CHECK(pair.ended);
  CHECK(pair.manager.finished());
}

TEST_CASE("N1: large arguments and results cross in parts", "[remote]") {
  using namespace remote_sessions;
  Pair pair({.window = 1000, .max_payload = 100'000, .max_part = 300});
  const std::string large(50'000, 'x');
  (void)pair.manager.push({}, bytes_of(large));
  CHECK_FALSE(pair.manager.has_room(1));
  pair.exchange();
  REQUIRE(pair.calls.size() == 1);
  CHECK(pair.calls[0] == large);
  pair.node.call_begun(pair.numbers[0]);
  pair.exchange();
  CHECK(pair.manager.has_room(1));
  pair.node.call_ended({.call = pair.numbers[0], .kind = OutcomeKind::value}, bytes_of(large));
  pair.exchange();
  CHECK(pair.results == std::vector<std::string>{large});
}

TEST_CASE("N8: a manager that sends more than was granted is refused", "[remote]") {
  using namespace remote_sessions;
  Pair pair({.window = 1000, .max_payload = 5000, .max_part = 300});
  const auto send = [&](std::size_t size) {
    ManagerLease generous(1, {.window = 1'000'000, .max_payload = 1'000'000, .max_part = 300});
    const std::string arguments(size, 'x');
    (void)generous.push({}, bytes_of(arguments));
    (void)generous.push({}, bytes_of(arguments));
    pair.give_node(pair.message_of(generous));
  };
  CHECK_THROWS_AS(send(6000), DecodeError);  // of one call
  pair.node = NodeLease(1, {.window = 1000, .max_payload = 5000, .max_part = 300}, {}, kNow);
  CHECK_THROWS_AS(send(900), DecodeError);  // of two
}

TEST_CASE("N5: a node's hard expiry counts from when the request came, and an extension from when that came",
          "[remote]") {
  using namespace remote_sessions;
  Pair pair;
  CHECK(pair.node.hard_expiry() == kNow + 1min);
  pair.manager.extend({.until_soft = 5min, .grace = 10s});
  CHECK_FALSE(pair.extended);
  pair.exchange(kNow + 30s);
  CHECK(pair.node.hard_expiry() == kNow + 30s + 5min + 10s);
  CHECK(pair.extended);
}

TEST_CASE("N3: a node is lost by silence, or when the server says for long enough that nobody listens there",
          "[remote]") {
  using namespace remote_sessions;
  Liveness liveness(5s, 2s, kNow);
  CHECK(liveness.lost_at() == kNow + 5s);
  liveness.heard(kNow + 1s);
  CHECK_FALSE(liveness.lost(kNow + 5s));
  liveness.nobody_listens(kNow + 2s);
  liveness.nobody_listens(kNow + 3s);
  CHECK(liveness.lost_at() == kNow + 4s);
  liveness.heard(kNow + 3s);
  CHECK(liveness.lost_at() == kNow + 8s);
  liveness.nobody_listens(kNow + 4s);
  liveness.disconnected();
  CHECK(liveness.lost_at() == kNow + 8s);
}

TEST_CASE("N8: who speaks of a lease that is none is told so once a message", "[remote]") {
  using namespace remote_sessions;
  Link<NodeLease> link(1, 2, Liveness(10s, Duration::max(), kNow), 250ms, kNow);
  for (int i = 0; i < 1000; ++i) CHECK(link.lease_of({.type = FrameType::marks, .lease = 7}) == nullptr);
  std::vector<std::byte> message;
  int messages = 0;
  link.write(kNow, 1000, [&](std::span<const std::byte> bytes) {
    message.assign(bytes.begin(), bytes.end());
    ++messages;
    return true;
  });
  CHECK(messages == 1);
  MessageReader reader(message);
  const auto gone = reader.next();
  REQUIRE(gone);
  CHECK(gone->type == FrameType::gone);
  CHECK(gone->lease == 7);
  CHECK_FALSE(reader.next());
}
