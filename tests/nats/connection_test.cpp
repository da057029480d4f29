// Tests of a connection to a real server: messages, losses, and what the server refuses.
#include "nats/connection.hpp"

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "nats/bus_client.hpp"
#include "nats/nats_server.hpp"
#include "support/watchdog.hpp"

namespace connection_test {

using leasepool::Loop;
using leasepool::detail::nats::BusMessage;
using leasepool::detail::nats::BusState;
using leasepool::detail::nats::Published;
using leasepool::test::BusClient;
using leasepool::test::has_nats_server;
using leasepool::test::NatsServer;
using leasepool::test::run_until;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;
using Options = BusClient::Options;
using Texts = std::vector<std::string>;

TEST_CASE("what is published comes to who has subscribed", "[connection]") {
  if (!has_nats_server()) return;
  const Watchdog watchdog("messages through a server");
  const NatsServer server;
  Loop loop;
  BusClient a(loop, server.url());
  BusClient b(loop, "127.0.0.1:" + std::to_string(server.port()));
  b.listen("x.*");
  b.listen("y.>");
  CHECK(a.say("x.1", "early") == Published::not_connected);
  REQUIRE(a.connects());
  REQUIRE(b.connects());
  a.listen("x.1");
  CHECK(a.say("x.1", "one", "r.1") == Published::taken);
  CHECK(a.say("x.1.2", "not for anybody") == Published::taken);
  CHECK(a.say("y.1.2", "two") == Published::taken);
  CHECK(a.say("x.3", "") == Published::taken);
  REQUIRE(b.hears(3));
  CHECK(b.heard == Texts{"x.1<r.1 one", "y.1.2 two", "x.3 "});
  REQUIRE(a.hears(1));
  CHECK(a.heard == Texts{"x.1<r.1 one"});
  CHECK(a.reasons.empty());
  CHECK(a.say("x y", "") == Published::bad_subject);
}

TEST_CASE("the server says at once that nobody listens", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server;
  Loop loop;
  BusClient a(loop, server.url());
  a.listen("reply.*");
  REQUIRE(a.connects());
  CHECK(a.say("gone", "", "reply.7") == Published::taken);
  CHECK(a.say("gone", "") == Published::taken);
  CHECK(a.say("gone", "", "reply.8") == Published::taken);
  REQUIRE(a.hears(2));
  CHECK(a.heard == Texts{"reply.7 nobody", "reply.8 nobody"});
}

TEST_CASE("nothing comes after unsubscribe, nor into a handler that left in the middle", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server;
  Loop loop;
  BusClient a(loop, server.url());
  const auto id = a.listen("x");
  REQUIRE(a.connects());
  a.listen("end");
  CHECK(a.say("x", "1") == Published::taken);
  a.bus->unsubscribe(id);
  a.bus->unsubscribe(id);
  leasepool::detail::nats::SubscriptionId once = 0;
  int calls = 0;
  once = a.bus->subscribe("y", [&](const BusMessage&) {
    ++calls;
    a.bus->unsubscribe(once);
  });
  for (int i = 0; i < 3; ++i) CHECK(a.say("y", "") == Published::taken);
  CHECK(a.say("x", "2") == Published::taken);
  CHECK(a.say("end", "") == Published::taken);
  REQUIRE(a.hears(1));
  CHECK(a.heard == Texts{"end "});
  CHECK(calls == 1);
}

TEST_CASE("a payload up to the server's bound goes through, and one byte more does not", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server("max_payload: 3000000");
  Loop loop;
  BusClient a(loop, server.url());
  CHECK(a.bus->max_payload() == std::size_t{1} << 20);
  a.listen("x");
  REQUIRE(a.connects());
  CHECK(a.bus->max_payload() == 3'000'000);
  const std::string most(3'000'000, 'p');
  CHECK(a.say("x", most + "q") == Published::too_large);
  for (int i = 0; i < 3; ++i) CHECK(a.say("x", most) == Published::taken);
  REQUIRE(run_until(loop, [&] { return a.heard_bytes == 9'000'000; }));
  CHECK(a.reasons.empty());
}

TEST_CASE("a server that is killed and comes back has the subscriptions, and nothing of what was published meanwhile",
          "[connection]") {
  if (!has_nats_server()) return;
  const Watchdog watchdog("a server that is killed");
  NatsServer server;
  Loop loop;
  BusClient a(loop, server.url());
  BusClient b(loop, server.url());
  b.listen("x");
  REQUIRE(a.connects());
  REQUIRE(b.connects());
  server.kill();
  REQUIRE_THAT(a.next_reason(), ContainsSubstring(server.url() + ": it has closed the connection"));
  CHECK(a.bus->state() == BusState::connecting);
  CHECK(a.say("x", "lost") == Published::not_connected);
  REQUIRE_THAT(a.next_reason(1), ContainsSubstring(server.url() + ": connect: Connection refused"));
  server.start();
  REQUIRE(a.connects());
  REQUIRE(b.connects());
  CHECK(a.connects_seen == 2);
  CHECK(a.say("x", "after") == Published::taken);
  REQUIRE(b.hears(1));
  CHECK(b.heard == Texts{"x after"});
}

TEST_CASE("a server that falls silent is lost, and found again", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server;
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .attempt_timeout = 300ms, .keepalive = 100ms});
  REQUIRE(a.connects());
  server.signal(SIGSTOP);
  CHECK_THAT(a.next_reason(), ContainsSubstring("nothing has come from it for 200 ms"));
  CHECK_THAT(a.next_reason(1),
             ContainsSubstring("its INFO, with which a NATS server begins, did not come within 300 ms"));
  server.signal(SIGCONT);
  REQUIRE(a.connects());
}

TEST_CASE("of several servers the next one is tried", "[connection]") {
  if (!has_nats_server()) return;
  NatsServer first;
  const NatsServer second;
  Loop loop;
  BusClient a(loop, "nats://localhost:" + std::to_string(first.port()) + "," + second.url());
  REQUIRE(a.connects());
  first.kill();
  // Over whichever it was, it is on the other one in the end.
  REQUIRE(run_until(loop, [&] { return a.bus->state() == BusState::connected; }));
  BusClient b(loop, second.url());
  b.listen("x");
  REQUIRE(b.connects());
  REQUIRE(run_until(loop, [&] {
    if (a.bus->state() == BusState::connected) (void)a.say("x", "here");
    return !b.heard.empty();
  }));
}

TEST_CASE("a wrong password is refused by name, and the right one taken", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server("authorization { users = [ { user: alice, password: \"s3cr\\\"et\" } ] }");
  server.write_file("wrong", "guess\n");
  server.write_file("right", "s3cr\"et\n");
  Loop loop;
  for (const char* file : {"wrong", "", "missing"}) {
    CAPTURE(file);
    BusClient a(
        loop,
        Options{.servers = server.url(), .user = "alice", .credentials_file = *file == '\0' ? "" : server.path(file)});
    const std::string reason = a.next_reason();
    CHECK_THAT(reason, ContainsSubstring("NATS server " + server.url() + ": "));
    if (file == std::string("missing"))
      CHECK_THAT(reason, ContainsSubstring("RemoteOptions::credentials_file = \"" + server.path(file) +
                                           "\": No such file or directory"));
    else
      CHECK_THAT(reason, ContainsSubstring("it refuses user \"alice\": Authorization Violation"));
    CHECK_THAT(reason, !ContainsSubstring("guess"));
  }
  BusClient a(loop, Options{.servers = server.url(), .user = "alice", .credentials_file = server.path("right")});
  REQUIRE(a.connects());
  CHECK(a.reasons.empty());
  BusClient nobody(loop, server.url());
  CHECK_THAT(nobody.next_reason(), ContainsSubstring("it refuses a client without a user: Authorization Violation"));
}

TEST_CASE("a token in the file is taken where there is no user", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server("authorization { token: t0k3n }");
  server.write_file("token", "t0k3n");
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .credentials_file = server.path("token")});
  REQUIRE(a.connects());
}

TEST_CASE("a user's key signs what the server asks for, and another one's does not", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server(
      "authorization { users = [ { nkey: UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK } ] }");
  server.write_file("seed", "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y\n");
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .credentials_file = server.path("seed")});
  REQUIRE(a.connects());
  CHECK(a.reasons.empty());

  const NatsServer other(
      "authorization { users = [ { nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 } ] }");
  BusClient b(loop, Options{.servers = other.url(), .credentials_file = server.path("seed")});
  CHECK_THAT(b.next_reason(),
             ContainsSubstring("it refuses the user of \"" + server.path("seed") + "\": Authorization Violation"));

  const NatsServer keyless;
  BusClient c(loop, Options{.servers = keyless.url(), .credentials_file = server.path("seed")});
  CHECK_THAT(c.next_reason(), ContainsSubstring("it has no users with keys"));
}

TEST_CASE("subjects that the server forbids are named, and the rest goes on", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server(
      "authorization { users = [ { user: bob, password: pw, permissions: { publish: [\"ok.>\", \"x\"], subscribe: "
      "[\"ok.>\", \"x\"] } } ] }");
  server.write_file("pw", "pw");
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .user = "bob", .credentials_file = server.path("pw")});
  a.listen("secret");
  a.listen("ok.1");
  REQUIRE(a.connects());
  CHECK_THAT(
      a.next_refusal(),
      ContainsSubstring("it forbids this to user \"bob\": Permissions Violation for Subscription to \"secret\""));
  a.refusals.clear();
  CHECK(a.say("secret.2", "") == Published::taken);
  CHECK_THAT(a.next_refusal(), ContainsSubstring("Permissions Violation for Publish to \"secret.2\""));
  CHECK(a.say("ok.1", "still") == Published::taken);
  REQUIRE(a.hears(1));
  CHECK(a.heard == Texts{"ok.1 still"});
  CHECK(a.reasons.empty());
}

TEST_CASE("a server that does not read makes publish() say no, and then there is room", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server;
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .max_unsent = 1 << 20});
  a.listen("end");
  REQUIRE(a.connects());
  server.signal(SIGSTOP);
  const std::string chunk(100'000, 'c');
  std::size_t taken = 0;
  REQUIRE(run_until(loop, [&] {
    for (int i = 0; i < 20; ++i) {
      const Published published = a.say("x", chunk);
      if (published == Published::queue_full) return true;
      REQUIRE(published == Published::taken);
      ++taken;
    }
    return false;
  }));
  CHECK(taken >= 10);
  CHECK(a.rooms == 0);
  server.signal(SIGCONT);
  REQUIRE(run_until(loop, [&] { return a.rooms == 1; }));
  CHECK(a.say("end", "") == Published::taken);
  REQUIRE(a.hears(1));
  CHECK(a.reasons.empty());
}

TEST_CASE("a client that does not read is cut off, hears why, and comes back", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server("max_payload: 500000\nmax_pending: 1000000\nwrite_deadline: \"200ms\"");
  Loop slow_loop;
  BusClient slow(slow_loop, server.url());
  slow.listen("x");
  REQUIRE(slow.connects());
  Loop loop;
  BusClient a(loop, server.url());
  REQUIRE(a.connects());
  const std::string chunk(100'000, 'c');
  // As much as the sockets between them take, and then some, while the other loop stands still.
  std::size_t taken = 0;
  REQUIRE(run_until(loop, [&] {
    if (a.say("x", chunk) == Published::taken) ++taken;
    return server.log().find("Slow Consumer") != std::string::npos;
  }));
  CHECK_THAT(slow.next_reason(), ContainsSubstring("NATS server " + server.url() + ": it "));
  REQUIRE(slow.connects());
  CHECK(slow.heard.size() < taken);
}

TEST_CASE("what was published before the bus closes arrives, even if its loop goes at once", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server;
  Loop loop;
  BusClient b(loop, server.url());
  b.listen("x");
  REQUIRE(b.connects());
  {
    Loop other;
    BusClient a(other, server.url());
    REQUIRE(a.connects());
    CHECK(a.say("x", "last words") == Published::taken);
    a.bus->close();
    CHECK(a.bus->state() == BusState::closed);
    CHECK(a.say("x", "too late") == Published::not_connected);
  }
  REQUIRE(b.hears(1));
  CHECK(b.heard == Texts{"x last words"});
}

TEST_CASE("a bus may be closed, and dropped, by its own handlers", "[connection]") {
  if (!has_nats_server()) return;
  const NatsServer server;
  Loop loop;
  BusClient a(loop, server.url());
  REQUIRE(a.connects());
  struct Owner final : leasepool::detail::nats::BusOwner {
    void bus_connected() override {
      connected = true;
      if (!close_when_connected) return;
      bus->close();
      bus.reset();
    }
    void bus_disconnected(const leasepool::Error&) override {}
    void bus_has_room() override {}
    void bus_refused(const leasepool::Error&) override {}
    std::shared_ptr<leasepool::detail::nats::Connection> bus;
    bool connected = false;
    bool close_when_connected = false;
  };
  Owner in_message;
  in_message.bus = leasepool::detail::nats::Connection::make(leasepool::detail::Access::core(loop),
                                                             {.servers = server.url()}, in_message);
  int calls = 0;
  in_message.bus->subscribe("x", [&](const BusMessage&) {
    ++calls;
    in_message.bus->close();
    in_message.bus.reset();
  });
  Owner in_event;
  in_event.close_when_connected = true;
  in_event.bus = leasepool::detail::nats::Connection::make(leasepool::detail::Access::core(loop),
                                                           {.servers = server.url()}, in_event);
  REQUIRE(run_until(loop, [&] { return in_message.connected && in_event.connected; }));
  for (int i = 0; i < 3; ++i) CHECK(a.say("x", "") == Published::taken);
  REQUIRE(run_until(loop, [&] { return in_message.bus == nullptr; }));
  CHECK(calls == 1);
  CHECK(in_event.bus == nullptr);
}

TEST_CASE("a name that is none and a port where nobody listens are named, with why", "[connection]") {
  Loop loop;
  BusClient nobody(loop, "nats://127.0.0.1:1");
  CHECK_THAT(nobody.next_reason(), ContainsSubstring("NATS server nats://127.0.0.1:1: connect: Connection refused"));
  BusClient nowhere(loop, Options{.servers = "nowhere.invalid", .attempt_timeout = 300ms});
  // A resolver without a network takes its time.
  CHECK_THAT(nowhere.next_reason(),
             ContainsSubstring("NATS server nats://nowhere.invalid:4222: its name cannot be resolved: ") ||
                 ContainsSubstring("the addresses of its name did not come within 300 ms"));
}

TEST_CASE("options that do not go together are refused by name", "[connection]") {
  Loop loop;
  CHECK_THROWS_WITH(BusClient(loop, Options{.servers = "a", .cert_file = "c"}),
                    ContainsSubstring("RemoteOptions::cert_file and key_file must both be given"));
  CHECK_THROWS_WITH(BusClient(loop, Options{.servers = "a", .key_file = "k"}),
                    ContainsSubstring("cert_file and key_file"));
  CHECK_THROWS_WITH(BusClient(loop, Options{}), ContainsSubstring("RemoteOptions::servers is empty"));
}

}  // namespace connection_test
