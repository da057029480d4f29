// A manager and what is no server for it: its start says with one clear error what is wrong where, and so does its log
// when that begins later.
#include <leasepool/leasepool.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "nats/bus_client.hpp"
#include "nats/fake_server.hpp"
#include "nats/nats_server.hpp"
#include "remote/connection_options.hpp"
#include "remote_pair.hpp"

namespace bad_server {

using namespace std::chrono_literals;
using namespace leasepool;
using test::FakeServer;
using test::NatsServer;
using test::Peer;

// What the start of a manager says, and nothing more is left behind.
std::string start_error(const RemoteOptions& remote) {
  Loop loop;
  std::string message;
  ManagerOptions options = test::remote_options(remote.servers);
  options.remote = remote;
  options.worker_start_timeout = 400ms;
  const auto run = [&]() -> Task<> {
    LeasedExecutorManager manager(loop, options);
    auto start = manager.start();
    try {
      co_await start;
    } catch (const LeasePoolError& error) {
      if (error.code() == Errc::pool_broken) message = error.what();
    }
  };
  loop.block_on(run());
  CHECK_THAT(message,
             ContainsSubstring("no connection to a NATS server of RemoteOptions::servers = \"" + remote.servers +
                               "\" within worker_start_timeout = 400 ms: NATS server " + remote.servers + ": "));
  return message;
}

// Of a server that says this, in full or up to its close.
std::string of_words(const std::string& words, bool then_close = false) {
  const FakeServer server([&](const Peer& peer) {
    (void)peer.send(words);
    if (!then_close) peer.read_to_end();
  });
  return start_error({.servers = server.url()});
}

}  // namespace bad_server

TEST_CASE("N1: a start names the server and what is wrong with it", "[remote][N1]") {
  using namespace bad_server;
  CHECK_THAT(of_words("SSH-2.0-OpenSSH_9.2p1\r\n"), ContainsSubstring("it begins with no command of NATS"));
  CHECK_THAT(of_words("INFO {\"version\":\"2.1.0\"}\r\n"), ContainsSubstring("it is too old (version \"2.1.0\")"));
  CHECK_THAT(of_words("", true), ContainsSubstring("it has closed the connection"));
  CHECK_THAT(of_words("-ERR 'maximum connections exceeded'\r\n"), ContainsSubstring("maximum connections exceeded"));
}

TEST_CASE("N1: a user whom the server refuses is named by a start, and by the log where that happens later",
          "[remote][N1]") {
  using namespace bad_server;
  if (!test::has_nats_server()) return;
  const std::string accepts = "authorization { users = [ { user: alice, password: first } ] }";
  NatsServer server(accepts);
  server.write_file("right", "first\n");
  server.write_file("wrong", "second\n");
  CHECK_THAT(start_error({.servers = server.url(), .user = "alice", .credentials_file = server.path("wrong")}),
             ContainsSubstring("it refuses user \"alice\": Authorization Violation"));

  Loop loop;
  std::vector<std::string> lines;
  ManagerOptions options = test::remote_options(server.url());
  options.remote.user = "alice";
  options.remote.credentials_file = server.path("right");
  options.log = [&](const LogRecord& record) { lines.emplace_back(record.text); };
  const auto said = [&](const std::string& text) {
    return std::ranges::count_if(lines, [&](const std::string& line) { return line.find(text) != std::string::npos; });
  };
  const auto run = [&]() -> Task<> {
    LeasedExecutorManager manager(loop, options);
    auto start = manager.start();
    co_await start;
    CHECK(lines.empty());
    server.write_file("right", "second\n");  // it is read for each connection
    server.kill();
    server.start();
    auto refused = test::until_holds(loop, [&] { return said("it refuses user \"alice\"") > 0; });
    co_await refused;
    auto attempts = loop.sleep(500ms);  // of several attempts
    co_await attempts;
    CHECK(said("the connection is lost: NATS server " + server.url()) == 1);
    CHECK(said("NATS server " + server.url() + ": it refuses user \"alice\": Authorization Violation") == 1);
    server.write_file("right", "first\n");
    auto back = test::until_holds(loop, [&] { return said("is there again") == 1; });
    co_await back;
    auto stop = manager.stop();
    co_await stop;
  };
  loop.block_on(run());
}

TEST_CASE("N4: attempts to connect are eager for node_timeout", "[remote][N4]") {
  using namespace bad_server;
  CHECK(detail::remote::connection_options({.node_timeout = 700ms}, "m").eager_for == 700ms);
  // As many as come in a second of it, and in one behind it.
  const auto attempts = [](Duration node_timeout) {
    const FakeServer server([](const Peer&) {});  // takes and closes
    Loop loop;
    ManagerOptions options = test::remote_options(server.url());
    options.remote.heartbeat = 10ms;
    options.remote.reconnect_grace = 50ms;
    options.remote.node_timeout = node_timeout;
    options.worker_start_timeout = 2s;
    const auto run = [&]() -> Task<> {
      LeasedExecutorManager manager(loop, options);
      auto start = manager.start();
      try {
        co_await start;
      } catch (const LeasePoolError&) {
      }
    };
    loop.block_on(run());
    return server.connections();
  };
  const int eager = attempts(5s);
  CHECK(eager >= 20);                 // 2 s of at most 100 ms each, and of the attempts themselves
  CHECK(attempts(60ms) < eager / 2);  // 100 to 2,000 ms apart
}
