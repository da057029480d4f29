// Tests of a connection to what is no honest server: garbage, lengths that lie, halves of frames, silence, floods.
#include <random>
#include <string>
#include <utility>

#include "catch.hpp"
#include "nats/bus_client.hpp"
#include "nats/fake_server.hpp"

namespace hostile_server_test {

using leasepool::Loop;
using leasepool::test::BusClient;
using leasepool::test::FakeServer;
using leasepool::test::kFakeInfo;
using leasepool::test::Peer;
using leasepool::test::run_until;
using namespace std::chrono_literals;
using Options = BusClient::Options;

// The first reason that a client hears of a server that says this, in full or up to its close.
std::string reason_of(const std::string& words, bool then_close = false) {
  const FakeServer server([&](const Peer& peer) {
    (void)peer.send(words);
    if (!then_close) peer.read_to_end();
  });
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .attempt_timeout = 300ms});
  const std::string reason = a.next_reason();
  CHECK(a.connects_seen == 0);
  CHECK_THAT(reason, ContainsSubstring("NATS server " + server.url() + ": "));
  return reason;
}

TEST_CASE("what is no NATS server is told so", "[hostile server]") {
  CHECK_THAT(reason_of("SSH-2.0-OpenSSH_9.2p1\r\n"), ContainsSubstring("it begins with no command of NATS"));
  CHECK_THAT(reason_of("HTTP/1.1 400 Bad Request\r\n\r\n"), ContainsSubstring("no command of NATS"));
  CHECK_THAT(reason_of("PING\r\n"), ContainsSubstring("it does not begin with INFO"));
  CHECK_THAT(reason_of("INFO nothing\r\n"), ContainsSubstring("its INFO is no JSON"));
  CHECK_THAT(reason_of("INFO {\"version\":\"2.1.0\"}\r\n"), ContainsSubstring("it is too old (version \"2.1.0\")"));
  CHECK_THAT(reason_of("INFO {" + std::string(100'000, ' ')), ContainsSubstring("a line is longer than 64 KiB"));
  CHECK_THAT(reason_of("INFO {\"vers"), ContainsSubstring("did not come within 300 ms"));
  CHECK_THAT(reason_of(""), ContainsSubstring("did not come within 300 ms"));
  CHECK_THAT(reason_of("", true), ContainsSubstring("it has closed the connection"));
  CHECK_THAT(reason_of(kFakeInfo), ContainsSubstring("its answer to CONNECT did not come within 300 ms"));
  CHECK_THAT(reason_of("-ERR 'maximum connections exceeded'\r\n"),
             ContainsSubstring("it ends the connection: maximum connections exceeded"));
  CHECK_THAT(reason_of("-ERR '\x1b[31m\x80" + std::string(5000, 'x') + "'\r\n"),
             ContainsSubstring("??[31m") || ContainsSubstring("?[31m?"));
  CHECK_THAT(reason_of(R"(INFO {"headers":true,"tls_required":true})"
                       "\r\n"),
             ContainsSubstring("its part of TLS did not come within 300 ms"));
  CHECK_THAT(reason_of(R"(INFO {"headers":true,"tls_required":true})"
                       "\r\nPING\r\n"),
             ContainsSubstring("it says something before TLS begins"));
}

TEST_CASE("frames that lie end the connection, and another one is made", "[hostile server]") {
  const char* const words[] = {
      "MSG a 1 99999999999999999999\r\n",
      "MSG a 1 1048577\r\n",
      "MSG a 1 3\r\nabcdef\r\n",
      "HMSG a 1 9 3\r\n",
      "MSG a x 3\r\nabc\r\n",
      "\r\n",
      "BOO\r\n",
      "-ERR 'Slow Consumer'\r\n",
  };
  for (const char* lie : words) {
    CAPTURE(lie);
    const FakeServer server([lie](const Peer& peer) {
      if (peer.welcome() && peer.send(lie)) peer.read_to_end();
    });
    Loop loop;
    BusClient a(loop, server.url());
    a.listen("a");
    REQUIRE_FALSE(a.next_reason().empty());
    CHECK(a.heard.empty());
    REQUIRE(run_until(loop, [&] { return a.connects_seen >= 2; }));
  }
}

TEST_CASE("half a frame is waited for, whatever it announces, and takes no memory", "[hostile server]") {
  const FakeServer server([](const Peer& peer) {
    if (!peer.welcome()) return;
    (void)peer.send("MSG a 1 1048576\r\nhalf");
    peer.read_to_end();
  });
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .keepalive = 50ms});
  a.listen("a");
  CHECK_THAT(a.next_reason(), ContainsSubstring("no answer to a ping"));
  CHECK(a.heard.empty());
}

TEST_CASE("messages for nobody, and with subjects that are none, are passed over or handed on as they are",
          "[hostile server]") {
  const FakeServer server([](const Peer& peer) {
    if (!peer.welcome()) return;
    (void)peer.send("MSG a 77 1\r\nx\r\nMSG .\x80.. 1 > 1\r\ny\r\nHMSG a 1 4 5\r\nJUNKz\r\n+OK\r\nPONG\r\nINFO "
                    "{}\r\nMSG a 1 1\r\nw\r\n");
    peer.read_to_end();
  });
  Loop loop;
  BusClient a(loop, server.url());
  a.listen("a");
  REQUIRE(a.hears(3));
  CHECK(a.heard == std::vector<std::string>{".\x80..<> y", "a z", "a w"});
  CHECK(a.reasons.empty());
}

TEST_CASE("a flood of pings from who never reads ends the connection before it fills the memory", "[hostile server]") {
  std::atomic<std::size_t> sent = 0;
  const FakeServer server([&sent](const Peer& peer) {
    if (sent > 0 || !peer.welcome()) return;  // the first connection alone
    std::string pings;
    for (int i = 0; i < 10'000; ++i) pings += "PING\r\n";
    while (peer.send(pings)) sent += pings.size();
  });
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .max_unsent = 1 << 20});
  CHECK_THAT(a.next_reason(), ContainsSubstring("it asks for more answers than it reads"));
  // The bound, and what the sockets hold in both directions.
  CHECK(sent < std::size_t{100} << 20);
}

TEST_CASE("messages that come before the answer to CONNECT are nobody's", "[hostile server]") {
  const FakeServer server([](const Peer& peer) {
    if (!peer.send(kFakeInfo) || !peer.read_until("PING\r\n")) return;
    (void)peer.send("MSG a 1 1\r\nx\r\nPONG\r\nMSG a 1 1\r\ny\r\n");
    peer.read_to_end();
  });
  Loop loop;
  BusClient a(loop, server.url());
  a.listen("a");
  REQUIRE(a.hears(1));
  CHECK(a.heard == std::vector<std::string>{"a y"});
}

TEST_CASE("random answers never do more than end the connection", "[hostile server]") {
  std::mt19937 random(11);
  const FakeServer server([&random](const Peer& peer) {
    static constexpr std::string_view kParts[] = {
        "MSG a 1 3\r\nabc\r\n", "PING\r\n", "HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", "+OK\r\n",
        "-ERR 'x'\r\n",         "PONG\r\n"};
    if (random() % 4 != 0 && !peer.welcome()) return;
    std::string words;
    for (int i = 0; i < 20; ++i) words += kParts[random() % 6];
    for (int i = 0; i < 3; ++i) words[random() % words.size()] = static_cast<char>(random());
    (void)peer.send(words);
  });
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .attempt_timeout = 100ms});
  a.listen("a");
  REQUIRE(run_until(loop, [&] { return server.connections() >= 50; }));
}

}  // namespace hostile_server_test
