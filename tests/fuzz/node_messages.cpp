// Messages between managers and nodes: frames, and what stands in their bodies.
#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <utility>

#include "fuzz/input.hpp"
#include "fuzz/targets.hpp"
#include "leasepool/crash.hpp"
#include "leasepool/detail/access.hpp"
#include "remote/acquire_bodies.hpp"
#include "remote/failure.hpp"
#include "remote/frame.hpp"
#include "remote/info_body.hpp"
#include "remote/lease_bodies.hpp"

namespace leasepool::fuzz {

namespace node_messages_target {
namespace {

using namespace detail::remote;
using detail::ByteReader;
using detail::Bytes;
using detail::DecodeError;

// What is decoded, encoded and decoded once more has the same bytes. The first time what came may be cut, as a name is.
template <auto get>
void check_body(std::span<const std::byte> body) {
  const auto encoded_again = [](std::span<const std::byte> from) {
    ByteReader reader(from);
    Bytes out;
    put(out, get(reader));
    return out;
  };
  try {
    const Bytes once = encoded_again(body);
    const Bytes twice = encoded_again(once.view());
    require(std::ranges::equal(once.view(), twice.view()), "a body is the same behind bytes");
  } catch (const DecodeError&) {  // NOLINT(bugprone-empty-catch): as it may be
  }
}

void check_failure(std::span<const std::byte> body) {
  std::optional<Error> error;
  try {
    error = get_failure(body);
  } catch (const DecodeError&) {
    return;
  }
  Bytes once;
  put_failure(once, *error);
  Bytes twice;
  put_failure(twice, get_failure(once.view()));
  require(std::ranges::equal(once.view(), twice.view()), "a failure is the same behind bytes");
}

constexpr std::array<void (*)(std::span<const std::byte>), 11> kBodies = {
    check_body<get_call_head>,   check_body<get_outcome_head>, check_body<get_extend_body>, check_body<get_lend_body>,
    check_body<get_closed_body>, check_body<get_want_body>,    check_body<get_offer_body>,  check_body<get_take_body>,
    check_body<get_grant_body>,  check_body<get_busy_body>,    check_body<get_node_info>};

void run(std::span<const std::byte> bytes) {
  const std::vector<std::byte> copy(bytes.begin(), bytes.end());
  std::optional<MessageReader> reader;
  try {
    reader.emplace(copy);
    MessageWriter again(reader->from(), reader->to());
    while (const auto frame = reader->next()) {
      again.add(*frame);
      check_failure(frame->body);
      for (const auto check : kBodies) check(frame->body);
    }
    require(std::ranges::equal(again.bytes(), copy), "a message is the same behind bytes");
  } catch (const DecodeError&) {  // NOLINT(bugprone-empty-catch): as it may be
  }
}

template <class Body>
void add_body(MessageWriter& message, FrameType type, const Body& body) {
  Bytes bytes;
  put(bytes, body);
  message.add({.type = type, .lease = 5, .number = 1, .body = bytes.view()});
}

std::vector<Bytes> make_seeds() {
  using namespace std::chrono_literals;
  std::vector<Bytes> seeds;
  MessageWriter message(17, 18);
  const auto end_message = [&] {
    seeds.emplace_back().append(message.bytes());
    message.clear();
  };
  add_body(message, FrameType::call, CallHead{.function = 1, .signature = 2, .timeout = 1s});
  add_body(message, FrameType::extend, ExtendBody{.until_soft = 1s, .grace = 2s});
  add_body(message, FrameType::lend, LendBody{.durations = {.until_soft = 1s}, .owner = "owner"});
  message.add({.type = FrameType::marks, .lease = 5, .number = 9});
  end_message();
  add_body(message, FrameType::outcome, OutcomeHead{.call = 1, .kind = OutcomeKind::value, .ran_for = 1ms});
  add_body(message, FrameType::closed, ClosedBody{.reason = CloseReason::expired, .accepted = 4});
  end_message();
  add_body(message, FrameType::want, WantBody{.age = 1s, .lasts = 2s, .build = 3});
  add_body(message, FrameType::offer, OfferBody{.node = "here"});
  add_body(message, FrameType::take, TakeBody{.durations = {.until_soft = 1s}, .owner = "owner", .window = 99});
  add_body(message, FrameType::grant, GrantBody{.build = 3});
  add_body(message, FrameType::busy, BusyBody{.node = "here", .leases = 1, .holders = {{.owner = "o", .age = 1s}}});
  end_message();
  NodeInfo info{.name = "here", .instance = 1, .version = "0.1.0", .state = NodeState::stopping};
  info.functions = {"f", "g"};
  info.leases = {{.owner = "o", .manager = "m", .age = 1s}};
  add_body(message, FrameType::here, info);
  end_message();
  WorkerCrash crash{.signal = 11, .function = "f", .call_id = 3, .owner = "o", .pid = 77};
  crash.stack.push_back({.address = 1, .module = "m", .offset = 2, .function = "g"});
  detail::ErrorDetails details{.crash = crash, .stack = crash.stack};
  Bytes failure;
  put_failure(failure, detail::Access::with_details(Error(Errc::worker_crashed, "it crashed"),
                                                    std::make_shared<const detail::ErrorDetails>(details)));
  message.add({.type = FrameType::outcome, .lease = 5, .number = 2, .body = failure.view()});
  end_message();
  return seeds;
}

}  // namespace
}  // namespace node_messages_target

constinit const Target kNodeMessages{.name = "node_messages",
                                     .max_size = 4096,
                                     .run = node_messages_target::run,
                                     .make_seeds = node_messages_target::make_seeds};

}  // namespace leasepool::fuzz
