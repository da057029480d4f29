// PlayedManager: what a manager says to a node, by hand, over any bus.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/serialize.hpp"
#include "nats/bus.hpp"
#include "remote/acquire_bodies.hpp"
#include "remote/manager_lease.hpp"
#include "remote/node_core.hpp"
#include "remote/subjects.hpp"
#include "shared/registry.hpp"

namespace leasepool::test {

class PlayedManager final : public detail::nats::BusOwner, private detail::remote::ManagerLeaseSink {
 public:
  using Bytes = detail::Bytes;
  using Frame = detail::remote::Frame;
  using FrameType = detail::remote::FrameType;

  static constexpr std::uint64_t kInstance = 77;
  static constexpr std::uint64_t kLease = 5;

  struct Outcome {
    detail::remote::OutcomeHead head;
    std::vector<std::byte> bytes;
  };

  // Listens; the bus outlives its use.
  void attach(detail::nats::Bus& its_bus) {
    bus = &its_bus;
    (void)bus->subscribe(kInbox + ".>", [this](const detail::nats::BusMessage& message) { take(message); });
  }

  void bus_connected() override { connected = true; }
  void bus_disconnected(const Error& reason) override {
    connected = false;
    problems.push_back(reason.message());
  }
  void bus_has_room() override {}
  void bus_refused(const Error& reason) override { refusals.push_back(reason.message()); }

  [[nodiscard]] detail::nats::Published say(const std::string& subject, std::uint64_t to, const Frame& frame,
                                            const Bytes& body = {}) const {
    detail::remote::MessageWriter writer(kInstance, to);
    writer.add({.type = frame.type, .lease = frame.lease, .number = frame.number, .body = body.view()});
    return bus->publish(subject, writer.bytes(), kInbox + ".77");
  }
  void say_to_node(const Frame& frame, const Bytes& body = {}) const {
    CHECK(say(node_subject, node, frame, body) == detail::nats::Published::taken);
  }
  void want(std::uint64_t build = 0, std::uint64_t id = kLease) const {
    Bytes body;
    put(body, detail::remote::WantBody{.lasts = std::chrono::seconds(10), .build = build});
    CHECK(say(detail::remote::want_subject("default", "default", 0, 0), 0, {.type = FrameType::want, .lease = id},
              body) == detail::nats::Published::taken);
  }
  void take_it(Duration hard_expiry, std::uint64_t id = kLease) {
    Bytes body;
    put(body, detail::remote::TakeBody{.durations = {.until_soft = hard_expiry}, .owner = "tester"});
    lease.emplace(id, detail::remote::LeaseLimits{});
    say_to_node({.type = FrameType::take, .lease = id, .number = offer}, body);
  }
  std::uint64_t call(std::uint64_t function, std::uint64_t argument) {
    Bytes arguments;
    detail::ByteWriter writer(arguments, SIZE_MAX / 2);
    detail::DescriptorWriter descriptors;
    detail::encode(writer, descriptors, argument);
    const detail::RegisteredFunction* const known = detail::find_function_by_id(function);
    const std::uint64_t signature = known == nullptr ? 0 : known->signature.load();
    const std::uint64_t number = lease->push({.function = function, .signature = signature}, arguments.view());
    flush();
    return number;
  }
  void end_lease() {
    lease->end();
    flush();
  }
  void flush() {
    while (lease && lease->wants_to_write()) {
      detail::remote::MessageWriter writer(kInstance, node);
      lease->write(writer, std::size_t{100'000});
      if (connected) (void)bus->publish(node_subject, writer.bytes(), kInbox + ".77");
    }
  }
  [[nodiscard]] static std::uint64_t number_in(const Outcome& outcome) {
    REQUIRE(outcome.head.kind == detail::remote::OutcomeKind::value);
    std::uint64_t value = 0;
    detail::ByteReader reader(outcome.bytes);
    detail::DescriptorReader descriptors({});
    detail::decode(reader, descriptors, value);
    return value;
  }

  detail::nats::Bus* bus = nullptr;
  std::string node_subject;
  std::uint64_t node = 0;  // its instance
  std::optional<detail::remote::ManagerLease> lease;
  std::vector<FrameType> types;
  std::vector<Outcome> outcomes;
  std::vector<std::string> problems;
  std::vector<std::string> refusals;
  std::uint64_t offer = 0;
  std::size_t nobody_listened = 0;
  bool connected = false;
  bool granted = false;
  bool refused = false;
  bool extended = false;
  std::optional<detail::remote::CloseReason> closed;

 private:
  static inline const std::string kInbox = "lp.v1.default.c.tester";

  void take(const detail::nats::BusMessage& message) {
    if (message.no_responders) return void(++nobody_listened);
    detail::remote::MessageReader reader(message.payload);
    while (const auto frame = reader.next()) {
      types.push_back(frame->type);
      if (frame->type == FrameType::offer) offer = frame->number;
      if (frame->type == FrameType::grant) granted = true;
      if (frame->type == FrameType::refuse) refused = true;
      if (lease && frame->lease == kLease) lease->receive(*frame, std::chrono::steady_clock::now(), *this);
    }
    flush();
  }

  void outcome_came(const detail::remote::OutcomeHead& head, std::span<const std::byte> bytes) override {
    outcomes.push_back({.head = head, .bytes = {bytes.begin(), bytes.end()}});
  }
  void extension_holds() override { extended = true; }
  void lease_closed(detail::remote::CloseReason reason) override { closed = reason; }
};

}  // namespace leasepool::test
