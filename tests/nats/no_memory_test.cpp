// A connection to a server while one allocation fails, each of them in turn: nothing leaves the loop, nothing is lost
// but what is said to be, and when there is memory again it stands.
#include <chrono>
#include <cstddef>
#include <memory>
#include <new>

#include "allocations/memory_gate.hpp"
#include "catch.hpp"
#include "nats/bus_client.hpp"
#include "nats/nats_server.hpp"

namespace nats_without_memory {

using leasepool::Loop;
using leasepool::detail::nats::BusMessage;
using leasepool::detail::nats::BusState;
using leasepool::detail::nats::Connection;
using leasepool::detail::nats::ConnectionOptions;
using leasepool::detail::nats::Published;
using leasepool::test::MemoryGate;

// Sends itself a message when it is connected, and stops its loop when that has come or cannot.
struct Client final : leasepool::detail::nats::BusOwner {
  explicit Client(Loop& on) : loop(on) {}
  void begin(const ConnectionOptions& options) {
    bus = Connection::make(leasepool::detail::Access::core(loop), options, *this);
    bus->subscribe("x", [this](const BusMessage& message) {
      heard += message.payload.size() == sizeof payload ? 1 : 0;
      loop.stop();
    });
    subscribed = true;
  }
  void say() {
    if (bus->publish("x", payload) != Published::taken) loop.stop();
  }
  void bus_connected() override { say(); }
  void bus_disconnected(const leasepool::Error& reason) override {
    out_of_memory += reason.code() == std::errc::not_enough_memory ? 1 : 0;
    loop.stop();
  }
  void bus_has_room() override {}
  void bus_refused(const leasepool::Error& /*reason*/) override { ++refused; }

  Loop& loop;
  std::shared_ptr<Connection> bus;
  const std::byte payload[100]{};
  bool subscribed = false;
  int heard = 0;
  int out_of_memory = 0;
  int refused = 0;
};

TEST_CASE("each allocation fails once: a connection to a NATS server comes to stand all the same") {
  if (!leasepool::test::has_nats_server()) return;
  const leasepool::test::NatsServer server;
  const ConnectionOptions options{.servers = "nats://localhost:" + std::to_string(server.port())};
  int losses = 0;
  bool refused = true;
  for (std::size_t failing = 1; refused; ++failing) {
    INFO("where allocation " << failing << " fails");
    Loop loop;
    Client client(loop);
    bool left_the_loop = false;
    {
      const MemoryGate gate(failing, MemoryGate::Fails::once);
      try {
        client.begin(options);
        loop.run();
      } catch (const std::bad_alloc&) {
        left_the_loop = client.subscribed;
      }
      refused = gate.refused();
    }
    CHECK_FALSE(left_the_loop);
    if (client.bus && client.subscribed) {
      const bool stands = leasepool::test::run_until(loop, [&] {
        if (client.heard == 0 && client.bus->state() == BusState::connected) client.say();
        return client.heard > 0;
      });
      CHECK(stands);
    }
    CHECK(client.refused == 0);
    losses += client.out_of_memory;
    if (client.bus) client.bus->close();
  }
  CHECK(losses > 0);
}

}  // namespace nats_without_memory
