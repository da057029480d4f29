// Tests of TLS to a real server, with certificates of our own making.
#include "nats/tls.hpp"

#include <string>

#include "catch.hpp"
#include "nats/bus_client.hpp"
#include "nats/certificates.hpp"
#include "nats/nats_server.hpp"

namespace tls_test {

using leasepool::Loop;
using leasepool::detail::nats::Published;
using leasepool::test::BusClient;
using leasepool::test::Certificates;
using leasepool::test::has_nats_server;
using leasepool::test::NatsServer;
using leasepool::test::run_until;
using namespace std::chrono_literals;
using Options = BusClient::Options;

std::string tls_url(const NatsServer& server, const std::string& host) {
  return "tls://" + host + ":" + std::to_string(server.port());
}

TEST_CASE("messages go through TLS, small and large", "[tls]") {
  if (!has_nats_server()) return;
  const Certificates certificates;
  if (!certificates.are_there()) return;
  const NatsServer server(certificates.of_server("server"));
  Loop loop;
  // By name and by address; and where the server asks for it, or the options do, without the scheme.
  BusClient a(loop, Options{.servers = tls_url(server, "127.0.0.1"), .ca_file = certificates / "ca.crt"});
  BusClient b(loop, Options{.servers = "nats://localhost:" + std::to_string(server.port()),
                            .ca_file = certificates / "ca.crt"});
  b.listen("x");
  REQUIRE(a.connects());
  REQUIRE(b.connects());
  CHECK(a.say("x", "secret") == Published::taken);
  const std::string large(1'000'000, 'l');
  for (int i = 0; i < 10; ++i) CHECK(a.say("x", large) == Published::taken);
  REQUIRE(run_until(loop, [&] { return b.heard_bytes == 10'000'006; }));
  CHECK(b.heard.front() == "x secret");
  CHECK(a.reasons.empty());
  CHECK(b.reasons.empty());
  const auto before = b.heard.size();
  CHECK(a.say("x", "end") == Published::taken);
  a.bus->close();
  REQUIRE(b.hears(before + 1));
}

TEST_CASE("a certificate that does not hold is refused, and says why", "[tls]") {
  if (!has_nats_server()) return;
  const Certificates certificates;
  if (!certificates.are_there()) return;
  const NatsServer server(certificates.of_server("server"));
  const NatsServer elsewhere(certificates.of_server("elsewhere"));
  Loop loop;
  const auto reason = [&](const Options& options) {
    BusClient a(loop, options);
    const std::string said = a.next_reason();
    CHECK(a.connects_seen == 0);
    CHECK_THAT(said, ContainsSubstring("NATS server tls://"));
    return said;
  };
  CHECK_THAT(reason({.servers = tls_url(server, "localhost"), .ca_file = certificates / "other.crt"}),
             ContainsSubstring("its certificate does not hold for host \"localhost\": unable to get local issuer"));
  CHECK_THAT(reason({.servers = tls_url(server, "localhost")}), ContainsSubstring("does not hold"));
  CHECK_THAT(reason({.servers = tls_url(elsewhere, "localhost"), .ca_file = certificates / "ca.crt"}),
             ContainsSubstring("its certificate does not hold for host \"localhost\": hostname mismatch"));
  CHECK_THAT(reason({.servers = tls_url(elsewhere, "127.0.0.1"), .ca_file = certificates / "ca.crt"}),
             ContainsSubstring("host \"127.0.0.1\": IP address mismatch"));
  CHECK_THAT(reason({.servers = tls_url(server, "localhost"), .ca_file = certificates / "none.crt"}),
             ContainsSubstring("RemoteOptions::ca_file = \"" + certificates / "none.crt" + "\" cannot be read"));
  CHECK_THAT(reason({.servers = tls_url(server, "localhost"),
                     .ca_file = certificates / "ca.crt",
                     .cert_file = certificates / "client.crt",
                     .key_file = certificates / "server.key"}),
             ContainsSubstring("RemoteOptions::key_file"));
}

TEST_CASE("a server that asks for a client's certificate gets one", "[tls]") {
  if (!has_nats_server()) return;
  const Certificates certificates;
  if (!certificates.are_there()) return;
  const NatsServer server(
      certificates.of_server("server", ", verify: true, ca_file: \"" + certificates / "ca.crt" + "\""));
  Loop loop;
  BusClient without(loop, Options{.servers = tls_url(server, "localhost"), .ca_file = certificates / "ca.crt"});
  CHECK_THAT(without.next_reason(), ContainsSubstring("NATS server tls://localhost:"));
  CHECK(without.connects_seen == 0);
  BusClient with(loop, Options{.servers = tls_url(server, "localhost"),
                               .ca_file = certificates / "ca.crt",
                               .cert_file = certificates / "client.crt",
                               .key_file = certificates / "client.key"});
  REQUIRE(with.connects());
}

TEST_CASE("no password goes to a server without TLS where TLS was asked for", "[tls]") {
  if (!has_nats_server()) return;
  const Certificates certificates;
  if (!certificates.are_there()) return;
  const NatsServer server("authorization { token: t }");
  server.write_file("token", "t");
  Loop loop;
  BusClient by_scheme(loop, Options{.servers = tls_url(server, "127.0.0.1"), .credentials_file = server.path("token")});
  CHECK_THAT(by_scheme.next_reason(), ContainsSubstring("it offers no TLS, which tls:// asks for"));
  BusClient by_file(
      loop,
      Options{.servers = server.url(), .credentials_file = server.path("token"), .ca_file = certificates / "ca.crt"});
  CHECK_THAT(by_file.next_reason(), ContainsSubstring("it offers no TLS, which a ca_file"));
}

}  // namespace tls_test
