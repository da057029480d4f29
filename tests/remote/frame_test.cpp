// Messages and bodies: through bytes and back, and what is no message.
#include "remote/frame.hpp"

#include <cstddef>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "leasepool/crash.hpp"
#include "leasepool/error.hpp"
#include "remote/acquire_bodies.hpp"
#include "remote/failure.hpp"
#include "remote/lease_bodies.hpp"
#include "remote/manager_lease.hpp"
#include "remote/node_lease.hpp"

namespace remote_frames {

using leasepool::Duration;
using leasepool::Errc;
using leasepool::Error;
using leasepool::TimePoint;
using leasepool::WorkerCrash;
using leasepool::detail::Access;
using leasepool::detail::ByteReader;
using leasepool::detail::Bytes;
using leasepool::detail::DecodeError;
using leasepool::detail::ErrorDetails;
using namespace leasepool::detail::remote;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

struct NoNode final : NodeLeaseSink {
  void call_came(std::uint64_t, const CallHead&, std::span<const std::byte>) override { ++calls; }
  void cancel_came(std::uint64_t) override {}
  void extension_came(const ExtendBody&) override {}
  void lend_came(const LendBody&) override {}
  void end_came() override {}
  int calls = 0;
};
struct NoManager final : ManagerLeaseSink {
  void outcome_came(const OutcomeHead&, std::span<const std::byte>) override {}
  void extension_holds() override {}
  void lease_closed(CloseReason) override {}
};

}  // namespace remote_frames

TEST_CASE("N8: a message has its frames, in their order", "[remote][N8]") {
  using namespace remote_frames;
  MessageWriter writer(17, 18);
  CHECK(writer.empty());
  writer.add({.type = FrameType::call, .lease = 5, .number = 1, .body = bytes_of("tail")}, bytes_of("head "));
  writer.add({.type = FrameType::marks, .lease = 6, .number = 0x0102030405060708, .body = {}});
  MessageReader reader(writer.bytes());
  CHECK(reader.from() == 17);
  CHECK(reader.to() == 18);
  const auto call = reader.next();
  REQUIRE(call);
  CHECK(call->type == FrameType::call);
  CHECK(call->lease == 5);
  CHECK(std::ranges::equal(call->body, bytes_of("head tail")));
  const auto marks = reader.next();
  REQUIRE(marks);
  CHECK(marks->number == 0x0102030405060708);
  CHECK(marks->body.empty());
  CHECK_FALSE(reader.next());
  writer.clear();
  CHECK(writer.empty());
}

TEST_CASE("N8: what is no message, or ends too early, is refused", "[remote][N8]") {
  using namespace remote_frames;
  CHECK_THROWS_AS(MessageReader({}), DecodeError);
  CHECK_THROWS_AS(MessageReader(bytes_of("HTTP/1.1 400 Bad Request")), DecodeError);
  MessageWriter writer(1, 2);
  writer.add({.type = FrameType::call, .lease = 5, .number = 1, .body = bytes_of("body")});
  for (std::size_t size = 1; size < kFrameHeaderSize + 4; ++size) {
    MessageReader reader(writer.bytes().first(kMessageHeaderSize + size));
    CHECK_THROWS_AS(reader.next(), DecodeError);
  }
  std::vector<std::byte> of_unknown_type(writer.bytes().begin(), writer.bytes().end());
  for (const std::uint32_t type : {0U, kLastFrameType + 1, 255U}) {
    of_unknown_type[kMessageHeaderSize + 4] = static_cast<std::byte>(type);
    MessageReader reader(of_unknown_type);
    CHECK_THROWS_AS(reader.next(), DecodeError);
  }
}

TEST_CASE("N8: bodies are what was put into them, and nothing else", "[remote][N8]") {
  using namespace remote_frames;
  Bytes bytes;
  put(bytes, OutcomeHead{.call = 7, .kind = OutcomeKind::exception, .may_have_run = false, .ran_for = Duration(99)});
  ByteReader reader(bytes.view());
  const OutcomeHead head = get_outcome_head(reader);
  CHECK(head.call == 7);
  CHECK(head.kind == OutcomeKind::exception);
  CHECK_FALSE(head.may_have_run);
  CHECK(head.ran_for == Duration(99));
  const auto refused = [](std::initializer_list<std::uint64_t> numbers, auto get) {
    Bytes body;
    for (const std::uint64_t number : numbers) put_number(body, number);
    ByteReader from(body.view());
    CHECK_THROWS_AS(get(from), DecodeError);
  };
  refused({7, 0, 1, 1}, get_outcome_head);  // no such kind
  refused({7, 4, 1, 1}, get_outcome_head);
  refused({7, 1, 1, UINT64_MAX}, get_outcome_head);  // a negative duration
  refused({7, 1, 1}, get_outcome_head);
  refused({1, 2, UINT64_MAX, 4}, get_call_head);
  refused({5, 0}, get_closed_body);
}

TEST_CASE("N8: what a node says of itself is what was put, and nothing else", "[remote]") {
  using namespace remote_frames;
  Bytes bytes;
  put(bytes, GrantBody{.build = 1, .catalogue = 2, .workers = 3, .window = 4, .max_payload = 5});
  put(bytes, BusyBody{.node = "here", .leases = 9, .holders = {{.owner = "one", .age = Duration(7)}}});
  put(bytes, LendBody{.durations = {.until_soft = Duration(1), .grace = Duration(2)}, .owner = std::string(300, 'x')});
  ByteReader reader(bytes.view());
  const GrantBody grant = get_grant_body(reader);
  CHECK(grant.format == GrantBody::kFormat);
  CHECK(grant.build == 1);
  CHECK(grant.max_payload == 5);
  const BusyBody busy = get_busy_body(reader);
  CHECK(busy.node == "here");
  CHECK(busy.leases == 9);
  REQUIRE(busy.holders.size() == 1);
  CHECK(busy.holders.front().owner == "one");
  CHECK(busy.holders.front().age == Duration(7));
  CHECK(get_lend_body(reader).owner == std::string(kMaxName, 'x'));
  CHECK(reader.left() == 0);

  Bytes many;
  put_text(many, "here");
  for (const std::uint64_t number : {0U, 9U}) put_number(many, number);
  ByteReader of_many(many.view());
  CHECK_THROWS_AS(get_busy_body(of_many), DecodeError);
}

TEST_CASE("N3: a failure crosses with all that is known of it, and what is none is refused", "[remote]") {
  using namespace remote_frames;
  WorkerCrash crash{.signal = 11, .function = "f", .call_id = 3, .owner = "o", .ran_for = Duration(5), .pid = 77};
  crash.stack.push_back({.address = 1, .module = "m", .offset = 2, .function = "g"});
  crash.stderr_tail = "last words";
  const Error error = Access::with_details(Error(Errc::worker_crashed, "it died"),
                                           std::make_shared<const ErrorDetails>(ErrorDetails{.crash = crash}));
  Bytes bytes;
  put_failure(bytes, error);
  const Error got = get_failure(bytes.view());
  CHECK(got == error);
  CHECK(got.may_have_run());
  REQUIRE(got.crash() != nullptr);
  CHECK(got.crash()->signal == 11);
  CHECK_FALSE(got.crash()->exit_code.has_value());
  CHECK(got.crash()->pid == 77);
  CHECK(got.crash()->stderr_tail == "last words");
  REQUIRE(got.stack().size() == 1);
  CHECK(got.stack().front().function == "g");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK_THROWS_AS(get_failure(bytes.view().first(size)), DecodeError);
  }

  Bytes of_timeout;
  put_failure(of_timeout, Access::not_run(Error(Errc::timed_out, "late")));
  CHECK_FALSE(get_failure(of_timeout.view()).may_have_run());
  Bytes unknown;
  for (const std::uint64_t number : {99U, 1U, 0U, 0U}) put_number(unknown, number);
  CHECK_THROWS_AS(get_failure(unknown.view()), DecodeError);
  Bytes of_memory;
  put_failure(of_memory, Error::out_of_memory());
  CHECK(get_failure(of_memory.view()).code() == Errc::cancelled);
}

// Each end gets frames that are well formed as such, with random numbers and bodies, among some that are right: it
// takes them, drops them or refuses them.
TEST_CASE("N8: neither end of a lease breaks by what the other sends", "[remote][N8]") {
  using namespace remote_frames;
  std::mt19937_64 random(8);
  const auto pick = [&](std::uint64_t below) {
    return std::uniform_int_distribution<std::uint64_t>(0, below - 1)(random);
  };
  constexpr LeaseLimits kLimits{.window = 1000, .max_payload = 500, .max_part = 100};
  int refused = 0;
  int calls = 0;
  for (int round = 0; round < 2000; ++round) {
    NoNode node;
    NoManager manager;
    NodeLease at_node(1, kLimits, {}, TimePoint());
    ManagerLease at_manager(1, kLimits);
    if (pick(2) == 0) (void)at_manager.push({}, bytes_of("arguments"));
    MessageWriter sent(1, 2);
    at_manager.write(sent, 1000);
    std::uint64_t next = 1;
    try {
      for (int i = 0; i < 50; ++i) {
        std::vector<std::byte> body(pick(2) == 0 ? 32 + pick(60) : pick(600));
        for (std::byte& byte : body) byte = static_cast<std::byte>(pick(3) == 0 ? pick(256) : pick(2));
        for (std::size_t at = 7; at < body.size(); at += 8) body[at] = std::byte{0};  // small numbers
        const Frame frame{.type = static_cast<FrameType>(pick(8) == 0 ? 1 + pick(kLastFrameType) : 1 + pick(10)),
                          .lease = 1,
                          .number = pick(3) == 0 ? pick(1000) : next++,
                          .body = body};
        round % 2 == 0 ? at_node.receive(frame, TimePoint(), node) : at_manager.receive(frame, TimePoint(), manager);
        MessageWriter answer(1, 2);
        if (at_node.wants_to_write()) at_node.write(answer, 1000);
        if (at_manager.wants_to_write()) at_manager.write(answer, 1000);
      }
    } catch (const DecodeError&) {
      ++refused;
    }
    calls += node.calls;
  }
  CHECK(refused > 1000);
  CHECK(calls > 100);
}
