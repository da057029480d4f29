// HostilePeer: somebody on the bus between managers and nodes who hears everything, and says what an input tells: whole
// frames of ids that it heard, with bodies as they should be, or any bytes.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/input.hpp"
#include "fuzz/target.hpp"
#include "leasepool/detail/bytes.hpp"
#include "nats/memory_bus.hpp"
#include "remote/acquire_bodies.hpp"
#include "remote/frame.hpp"
#include "remote/lease_bodies.hpp"
#include "shared/registry.hpp"

namespace leasepool::fuzz {

class HostilePeer final : public detail::nats::BusOwner {
 public:
  using FrameType = detail::remote::FrameType;

  // `instance`: as which it speaks; `function`: a registered one, by its name.
  HostilePeer(detail::nats::MemoryServer& server, std::uint64_t instance, std::string_view function)
      : bus(server.connect("hostile", *this)), instance_(instance), function_(detail::function_id(function)) {
    (void)bus->subscribe(">", [this](const detail::nats::BusMessage& message) { hear(message); });
  }
  HostilePeer(const HostilePeer&) = delete;
  HostilePeer& operator=(const HostilePeer&) = delete;
  ~HostilePeer() { bus->close(); }

  void bus_connected() override {}
  void bus_disconnected(const Error& /*reason*/) override {}
  void bus_has_room() override {}
  void bus_refused(const Error& /*reason*/) override {}

  // One message to the subject; whom it is for is what was heard, or the input's word.
  void say(Input& input, const std::string& subject, const std::string& answer_to) {
    const auto how = input.number<std::uint8_t>();
    if (how % 16 == 15) return publish(subject, input.piece(), answer_to);
    detail::remote::MessageWriter message(how % 16 == 14 ? instance_ + 1 : instance_,
                                          how % 16 == 13          ? input.number<std::uint64_t>()
                                          : to_everybody(subject) ? 0
                                                                  : other);
    for (auto frames = 1 + how / 16; frames > 0 && !input.empty(); --frames) add_frame(message, input);
    publish(subject, message.bytes(), answer_to);
  }

  const std::shared_ptr<detail::nats::MemoryBus> bus;
  std::uint64_t other = 0;         // the instance that was heard last
  std::string reply;               // and where it listens
  std::vector<std::uint64_t> ids;  // of wants and leases, as they were heard
  std::uint64_t offer = 0;         // the last one

 private:
  [[nodiscard]] static bool to_everybody(const std::string& subject) {
    return subject.find(".want.") != std::string::npos || subject.ends_with(".join");
  }

  void publish(const std::string& subject, std::span<const std::byte> message, const std::string& answer_to) const {
    (void)bus->publish(subject, message, answer_to);
  }

  void hear(const detail::nats::BusMessage& message) {
    if (message.no_responders) return;
    try {
      detail::remote::MessageReader reader(message.payload);
      if (reader.from() == instance_ || reader.from() == instance_ + 1) return;
      other = reader.from();
      if (!message.reply.empty()) reply = message.reply;
      while (const auto frame = reader.next()) {
        if (frame->type == FrameType::offer) offer = frame->number;
        if (frame->lease != 0 && std::ranges::find(ids, frame->lease) == ids.end()) ids.push_back(frame->lease);
      }
    } catch (const detail::DecodeError&) {  // NOLINT(bugprone-empty-catch): its own word
    }
  }

  void add_frame(detail::remote::MessageWriter& message, Input& input) {
    const auto type = static_cast<FrameType>(1 + input.number<std::uint8_t>() % detail::remote::kLastFrameType);
    const auto which = input.number<std::uint8_t>();
    const std::uint64_t lease = which < ids.size() ? ids[ids.size() - 1 - which] : which;
    const auto of_number = input.number<std::uint8_t>();
    const bool is_numbered = type <= FrameType::closed || type == FrameType::lend;
    std::uint64_t number = of_number;
    if (of_number == 0) number = is_numbered ? ++sent_[lease] : type == FrameType::marks ? sent_[lease] : offer;
    if (of_number == 0xff) number = input.number<std::uint64_t>();
    const auto of_body = input.number<std::uint8_t>();
    detail::Bytes body;
    if (of_body % 2 == 0) put_body(body, type, of_body);
    body.append(input.piece());
    message.add({.type = type, .lease = lease, .number = number, .body = body.view()});
  }

  // As it should be, with a number in it that the input chooses.
  void put_body(detail::Bytes& out, FrameType type, std::uint8_t number) const {
    using namespace detail::remote;
    using std::chrono::seconds;
    const ExtendBody durations{.until_soft = seconds(number), .grace = seconds(1)};
    switch (type) {
      case FrameType::call: {
        const detail::RegisteredFunction* const known = detail::find_function_by_id(function_);
        return put(out, CallHead{.function = function_, .signature = known == nullptr ? 0 : known->signature.load()});
      }
      case FrameType::cancel: return put_number(out, number / 2);
      case FrameType::extend: return put(out, durations);
      case FrameType::lend: return put(out, LendBody{.durations = durations, .owner = "owner"});
      case FrameType::outcome: {
        const auto kind = static_cast<OutcomeKind>(1 + number / 2 % 3);
        return put(out, OutcomeHead{.call = 1U + number / 8U, .kind = kind});
      }
      case FrameType::closed:
        return put(out, ClosedBody{.reason = static_cast<CloseReason>(1 + number / 2 % 4), .accepted = number / 8U});
      case FrameType::marks:
        for (const std::uint64_t mark : {number / 8U, number / 8U, number / 2U % 2U}) put_number(out, mark);
        return;
      case FrameType::want: return put(out, WantBody{.lasts = seconds(number), .waits = number % 4 == 0});
      case FrameType::take: return put(out, TakeBody{.durations = durations, .owner = "owner"});
      case FrameType::grant: return put(out, GrantBody{.window = number % 4 == 0 ? UINT64_MAX : number});
      case FrameType::busy: return put(out, BusyBody{.node = "n", .leases = 1, .holders = {{.owner = "o", .age = {}}}});
      case FrameType::offer:
      case FrameType::join: return put(out, OfferBody{.node = number % 4 == 0 ? "hostile" : "n"});
      default: return;
    }
  }

  const std::uint64_t instance_;
  const detail::FunctionId function_;
  std::map<std::uint64_t, std::uint64_t> sent_;  // the last number of each lease
};

// What a seed says.
struct Said {
  HostilePeer::FrameType type;
  std::uint8_t lease = 0;  // the last one that was heard
  std::uint8_t number = 0;
  std::uint8_t body = 0;
};
inline void put_said(detail::Bytes& seed, Said said, std::span<const std::byte> rest = {}) {
  put_number(seed, static_cast<std::uint8_t>(std::to_underlying(said.type) - 1));
  put_number(seed, said.lease);
  put_number(seed, said.number);
  put_number(seed, said.body);
  put_piece(seed, rest);
}

}  // namespace leasepool::fuzz
