// Tests of the bus in memory: that it does to messages what it is told to, and nothing else.
#include "nats/memory_bus.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "sim/sim_scheduler.hpp"

namespace memory_bus_test {

using leasepool::Duration;
using leasepool::Error;
using leasepool::detail::nats::BusMessage;
using leasepool::detail::nats::BusOwner;
using leasepool::detail::nats::BusState;
using leasepool::detail::nats::MemoryBus;
using leasepool::detail::nats::MemoryServer;
using leasepool::detail::nats::Published;
using leasepool::test::SimScheduler;
using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// A client that notes all that it hears.
struct Client final : BusOwner {
  Client(MemoryServer& server, const std::string& name) : bus(server.connect(name, *this)) {}

  void bus_connected() override { events.emplace_back("connected"); }
  void bus_disconnected(const Error& reason) override { events.push_back("disconnected: " + reason.message()); }
  void bus_has_room() override { events.emplace_back("room"); }
  void bus_refused(const Error& reason) override { events.push_back("refused: " + reason.message()); }

  auto listen(std::string_view pattern) {
    return bus->subscribe(pattern, [this](const BusMessage& message) {
      std::string text(message.subject);
      if (message.no_responders) text += " nobody";
      for (const std::byte b : message.payload) text += static_cast<char>(b);
      heard.push_back(text);
    });
  }
  Published say(std::string_view subject, std::string_view text, std::string_view reply = {}) const {
    return bus->publish(subject, bytes(text), reply);
  }

  Texts events;
  Texts heard;
  std::shared_ptr<MemoryBus> bus;
};

struct Two {
  Two() { scheduler.run_until_idle(); }
  SimScheduler scheduler;
  MemoryServer server{scheduler};
  Client a{server, "a"};
  Client b{server, "b"};
};

TEST_CASE("a message reaches who has subscribed, later and in order", "[memory bus]") {
  Two two;
  CHECK(two.a.events == Texts{"connected"});
  two.b.listen("x.*");
  two.a.listen("x.1");
  CHECK(two.a.say("x.1", " one") == Published::taken);
  CHECK(two.a.say("x.2", " two") == Published::taken);
  CHECK(two.b.heard.empty());
  two.scheduler.run_until_idle();
  CHECK(two.b.heard == Texts{"x.1 one", "x.2 two"});
  CHECK(two.a.heard == Texts{"x.1 one"});
}

TEST_CASE("who asks is told that nobody listens", "[memory bus]") {
  Two two;
  two.a.listen("reply.>");
  CHECK(two.a.say("gone", "", "reply.7") == Published::taken);
  CHECK(two.a.say("gone", "") == Published::taken);
  two.scheduler.run_until_idle();
  CHECK(two.a.heard == Texts{"reply.7 nobody"});
}

TEST_CASE("what cannot be published is refused by value", "[memory bus]") {
  SimScheduler scheduler;
  MemoryServer server(scheduler);
  server.max_payload = 4;
  const Client a(server, "a");
  CHECK(a.say("x", "") == Published::not_connected);
  scheduler.run_until_idle();
  CHECK(a.say("x", "1234") == Published::taken);
  CHECK(a.say("x", "12345") == Published::too_large);
  CHECK(a.say("x.*", "") == Published::bad_subject);
  CHECK(a.say("x", "", "a b") == Published::bad_subject);
  a.bus->set_full(true);
  CHECK(a.say("x", "") == Published::queue_full);
  a.bus->set_full(false);
  CHECK(a.say("x", "") == Published::taken);
  scheduler.run_until_idle();
  CHECK(a.events == Texts{"connected", "room"});
  a.bus->close();
  CHECK(a.say("x", "") == Published::not_connected);
  CHECK(a.bus->state() == BusState::closed);
}

TEST_CASE("messages are lost, repeated and overtaken as the test says", "[memory bus]") {
  Two two;
  two.b.listen("x");
  two.server.fate = [](const MemoryServer::Trip& trip) -> std::vector<Duration> {
    CHECK(trip.from == "a");
    CHECK(trip.to == "b");
    if (trip.payload.size() == 1) return {};
    if (trip.payload.size() == 2) return {1ms, 3ms};
    return {2ms};
  };
  for (const char* text : {"1", "22", "333"}) CHECK(two.a.say("x", text) == Published::taken);
  two.scheduler.advance(10ms);
  CHECK(two.b.heard == Texts{"x22", "x333", "x22"});
}

TEST_CASE("a partition is silent, and the server's end is noticed behind it", "[memory bus]") {
  Two two;
  two.b.listen("x");
  two.a.listen("reply");
  two.b.bus->set_cut_off(true);
  CHECK(two.a.say("x", "1", "reply") == Published::taken);
  CHECK(two.b.say("x", "2") == Published::taken);
  two.scheduler.run_until_idle();
  CHECK(two.b.heard.empty());
  CHECK(two.a.heard.empty());  // the server still has the subscription
  two.b.bus->set_cut_off(false);
  CHECK(two.a.say("x", "3") == Published::taken);
  two.scheduler.run_until_idle();
  CHECK(two.b.heard == Texts{"x3"});

  two.b.bus->set_cut_off(true);
  two.server.set_down();
  two.server.set_up();
  two.scheduler.advance(1s);
  CHECK(two.b.events == Texts{"connected"});
  two.b.bus->set_cut_off(false);
  two.scheduler.advance(1s);
  CHECK(two.b.events == Texts{"connected", "disconnected: b: the server has gone", "connected"});
}

TEST_CASE("a server that dies loses what is on its way, and has the subscriptions again", "[memory bus]") {
  Two two;
  two.b.listen("x");
  two.server.fate = [](const MemoryServer::Trip&) { return std::vector<Duration>{5ms}; };
  CHECK(two.a.say("x", "1") == Published::taken);
  two.server.set_down();
  CHECK(two.a.say("x", "2") == Published::not_connected);
  two.scheduler.advance(60ms);
  two.server.set_up();
  two.scheduler.advance(100ms);
  CHECK(two.a.events ==
        Texts{"connected", "disconnected: a: the server has gone", "disconnected: a: no server answers", "connected"});
  CHECK(two.a.say("x", "3") == Published::taken);
  two.scheduler.advance(10ms);
  CHECK(two.b.heard == Texts{"x3"});
}

TEST_CASE("what arrives for a stopped client waits for it", "[memory bus]") {
  Two two;
  two.b.listen("x");
  two.b.bus->set_held(true);
  CHECK(two.a.say("x", "1") == Published::taken);
  CHECK(two.a.say("x", "2") == Published::taken);
  two.scheduler.run_until_idle();
  CHECK(two.b.heard.empty());
  two.b.bus->set_held(false);
  two.scheduler.run_until_idle();
  CHECK(two.b.heard == Texts{"x1", "x2"});
}

TEST_CASE("a handler may unsubscribe itself, and close its bus", "[memory bus]") {
  Two two;
  int calls = 0;
  leasepool::detail::nats::SubscriptionId id = 0;
  id = two.b.bus->subscribe("x", [&](const BusMessage&) {
    two.b.bus->unsubscribe(id);
    two.b.bus->close();
    ++calls;
  });
  CHECK(two.a.say("x", "1") == Published::taken);
  CHECK(two.a.say("x", "2") == Published::taken);
  two.scheduler.run_until_idle();
  CHECK(calls == 1);
}

}  // namespace memory_bus_test
