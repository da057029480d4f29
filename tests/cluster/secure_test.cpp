// A node and a manager through a server that asks for TLS, and users whom its configuration forbids something.
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <leasepool/leasepool.hpp>

#include "catch.hpp"
#include "nats/bus_client.hpp"
#include "nats/certificates.hpp"
#include "nats/nats_server.hpp"

namespace cluster_secure {

using namespace std::chrono_literals;
using namespace leasepool;
using test::Certificates;
using test::has_nats_server;
using test::NatsServer;

std::uint64_t squared(std::uint64_t value) { return value * value; }

ManagerOptions local() {
  ManagerOptions options{.backend = ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 2};
  options.log = [](const LogRecord&) {};
  return options;
}

ManagerOptions of_manager(const RemoteOptions& remote, std::vector<std::string>& lines) {
  ManagerOptions options{.backend = ExecutorBackend::remote, .max_pools = 1, .min_pools = 0};
  options.remote = remote;
  options.log = [&lines](const LogRecord& record) { lines.emplace_back(record.text); };
  return options;
}

// What one call through them returns.
Task<std::uint64_t> call_through(Loop& loop, const RemoteOptions& of_node, const RemoteOptions& of_caller) {
  Node node(loop, of_node, local());
  auto node_start = node.start();
  co_await node_start;
  std::vector<std::string> lines;
  LeasedExecutorManager manager(loop, of_manager(of_caller, lines));
  auto start = manager.start();
  co_await start;
  std::uint64_t value = 0;
  {
    auto acquire = manager.acquire({.owner = "tester"});
    ExecutorLease lease = co_await acquire;
    auto call = lease.run(squared, std::uint64_t{12});
    value = co_await call;
  }
  auto stop = manager.stop();
  co_await stop;
  auto node_stop = node.stop();
  co_await node_stop;
  co_return value;
}

}  // namespace cluster_secure

LEASEPOOL_REGISTER(cluster_secure::squared);

TEST_CASE("N1: a node and a manager meet through TLS, each with a certificate and a password", "[cluster][N1][N8]") {
  using namespace cluster_secure;
  if (!has_nats_server()) return;
  const Certificates certificates;
  if (!certificates.are_there()) return;
  const NatsServer server(
      certificates.of_server("server", ", verify: true, ca_file: \"" + certificates / "ca.crt" + "\"") +
      "\nauthorization { users = [{user: node, password: n}, {user: caller, password: c}] }");
  server.write_file("n", "n\n");
  server.write_file("c", "c\n");
  const auto as = [&](const std::string& user, const std::string& password) {
    return RemoteOptions{.servers = "tls://localhost:" + std::to_string(server.port()),
                         .user = user,
                         .credentials_file = server.path(password),
                         .ca_file = certificates / "ca.crt",
                         .cert_file = certificates / "client.crt",
                         .key_file = certificates / "client.key"};
  };
  Loop loop({.engine = GENERATE(LoopEngine::io_uring, LoopEngine::epoll)});
  CHECK(loop.block_on(call_through(loop, as("node", "n"), as("caller", "c"))) == 144);

  // Another authority's word does not do.
  std::vector<std::string> lines;
  RemoteOptions deceived = as("caller", "c");
  deceived.ca_file = certificates / "other.crt";
  ManagerOptions options = of_manager(deceived, lines);
  options.worker_start_timeout = 500ms;
  std::string message;
  loop.block_on([](Loop& on, const ManagerOptions& with, std::string& said) -> Task<> {
    LeasedExecutorManager manager(on, with);
    auto start = manager.start();
    try {
      co_await start;
    } catch (const LeasePoolError& error) {
      if (error.code() == Errc::pool_broken) said = error.what();
    }
  }(loop, options, message));
  CHECK_THAT(message, ContainsSubstring("its certificate does not hold for host \"localhost\""));
}

TEST_CASE("N8: a manager whom the server's configuration forbids what it needs is told so", "[cluster][N8]") {
  using namespace cluster_secure;
  if (!has_nats_server()) return;
  const NatsServer server(R"(authorization { users = [
      {user: node, password: p},
      {user: deaf, password: p, permissions: {publish: ">", subscribe: "lp.v1.default.default.>"}},
      {user: mute, password: p, permissions: {publish: "lp.v1.default.default.>", subscribe: ">"}}] })");
  server.write_file("p", "p\n");
  const auto as = [&](const std::string& user) {
    return RemoteOptions{.servers = server.url(), .user = user, .credentials_file = server.path("p")};
  };
  Loop loop;
  loop.block_on(
      [](Loop& on, const RemoteOptions& of_node, const RemoteOptions& deaf, const RemoteOptions& mute) -> Task<> {
        Node node(on, of_node, local());
        auto node_start = node.start();
        co_await node_start;
        std::vector<std::string> lines;
        {
          // It could not hear what nodes answer.
          LeasedExecutorManager manager(on, of_manager(deaf, lines));
          auto start = manager.start();
          std::string message;
          try {
            co_await start;
          } catch (const LeasePoolError& error) {
            message = error.what();
          }
          CHECK_THAT(message, ContainsSubstring("configuration does not let this manager reach nodes"));
          CHECK_THAT(message, ContainsSubstring("lp.v1.default.c.deaf."));
        }
        {
          // It can ask, and may not take what it is offered.
          LeasedExecutorManager manager(on, of_manager(mute, lines));
          auto start = manager.start();
          co_await start;
          std::optional<Errc> failed;
          auto acquire = manager.acquire({.owner = "tester", .timeout = 500ms});
          try {
            (void)co_await acquire;
          } catch (const LeasePoolError& error) {
            failed = static_cast<Errc>(error.code().value());
          }
          CHECK(failed == Errc::timed_out);
          std::string all;
          for (const std::string& line : lines) all += line + "\n";
          CHECK_THAT(all, ContainsSubstring("lp.v1.default.n."));
          auto stop = manager.stop();
          co_await stop;
        }
        CHECK(node.stats().leases.empty());
        auto node_stop = node.stop();
        co_await node_stop;
      }(loop, as("node"), as("deaf"), as("mute")));
}
