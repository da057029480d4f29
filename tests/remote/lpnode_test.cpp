// lpnode as a process of its own, with a real NATS server between it and a manager that the test plays.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <leasepool/leasepool.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "nats/bus_client.hpp"
#include "nats/certificates.hpp"
#include "nats/nats_server.hpp"
#include "remote/played_manager.hpp"
#include "shared/exception_codec.hpp"
#include "support/eventually.hpp"
#include "support/temporary_directory.hpp"
#include "support/waitable_children.hpp"

namespace lpnode_process {

using namespace std::chrono_literals;
using namespace leasepool;
using detail::nats::ConnectionOptions;
using test::Certificates;
using test::has_nats_server;
using test::NatsServer;
using test::PlayedManager;
using test::run_until;

std::string text_of(const std::string& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

// An lpnode with the functions of tests/tools/functions.cpp; it is killed with this.
class Lpnode {
 public:
  explicit Lpnode(const std::string& remote, const std::string& pools = {}) {
    std::ofstream(directory_ / "lpnode.toml") << "[remote]\n"
                                              << remote << "\n[pools]\nmax_pools = 1\nworkers_per_pool = 2\n"
                                              << pools;
    const std::string config = directory_ / "lpnode.toml";
    const std::string said = directory_ / "said";
    pid_ = ::fork();
    if (pid_ == 0) {
      test::WaitableChildren::put_back();
      const int out = ::open(said.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
      ::dup2(out, STDOUT_FILENO);
      ::dup2(out, STDERR_FILENO);
      ::execl(LEASEPOOL_LPNODE, "lpnode", "--load", LEASEPOOL_LPNODE_FUNCTIONS, "--config", config.c_str(),
              static_cast<char*>(nullptr));
      ::_exit(127);
    }
  }
  Lpnode(const Lpnode&) = delete;
  Lpnode& operator=(const Lpnode&) = delete;
  ~Lpnode() {
    if (!has_ended()) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, &status_, 0);
    }
  }

  [[nodiscard]] std::string said() const { return text_of(directory_ / "said"); }
  // Where managers reach it; empty if it does not come to lend.
  [[nodiscard]] std::string address() const {
    static const std::string kBefore = "managers reach it at ";
    std::string address;
    (void)test::eventually([&] {
      const std::string text = said();
      const std::size_t at = text.find(kBefore);
      const std::size_t end = text.find('\n', at == std::string::npos ? 0 : at);
      if (at == std::string::npos || end == std::string::npos) return false;
      address = text.substr(at + kBefore.size(), end - at - kBefore.size());
      return true;
    });
    return address;
  }
  void signal(int number) const { ::kill(pid_, number); }
  [[nodiscard]] bool has_ended() {
    if (!ended_) ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
    return ended_;
  }
  // -1 if it was killed.
  [[nodiscard]] int exit_code() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1; }

 private:
  test::WaitableChildren waitable_;
  test::TemporaryDirectory directory_;
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

struct Caller {
  Caller(Loop& on, ConnectionOptions options, const std::string& address)
      : loop(on), bus(detail::nats::Connection::make(detail::Access::core(on), std::move(options), manager)) {
    manager.attach(*bus);
    manager.node_subject = address;
    manager.node = std::stoull(address.substr(address.rfind('.') + 1));
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  ~Caller() { bus->close(); }

  [[nodiscard]] bool gets_lease() {
    if (!run_until(loop, [&] { return manager.connected; })) return false;
    manager.want();
    if (!run_until(loop, [&] { return manager.offer != 0; })) return false;
    manager.take_it(1min);
    return run_until(loop, [&] { return manager.granted; });
  }
  [[nodiscard]] bool hears(std::size_t outcomes) {
    return run_until(loop, [&] { return manager.outcomes.size() >= outcomes; });
  }
  std::uint64_t call(const std::string& function, std::uint64_t argument) {
    return manager.call(detail::function_id("lpnode_functions::" + function), argument);
  }

  Loop& loop;
  PlayedManager manager;
  std::shared_ptr<detail::nats::Connection> bus;
};

std::string servers(const NatsServer& server) { return "servers = \"" + server.url() + "\"\n"; }

}  // namespace lpnode_process

TEST_CASE("N6: lpnode lends the functions of a library, and on SIGTERM ends with its last lease", "[remote][N6]") {
  using namespace lpnode_process;
  if (!has_nats_server()) return;
  const NatsServer server;
  Lpnode node(servers(server));
  const std::string address = node.address();
  INFO(node.said());
  REQUIRE_FALSE(address.empty());
  Loop loop;
  Caller caller(loop, {.servers = server.url()}, address);
  REQUIRE(caller.gets_lease());
  (void)caller.call("square", 12);
  REQUIRE(caller.hears(1));
  (void)caller.call("prints", 7);
  REQUIRE(caller.hears(2));
  CHECK(PlayedManager::number_in(caller.manager.outcomes[0]) == 144);
  CHECK(test::eventually(
      [&] { return node.said().find("in lpnode_functions::prints: a line of 7") != std::string::npos; }));

  node.signal(SIGTERM);
  REQUIRE(test::eventually([&] { return node.said().find("lends no more") != std::string::npos; }));
  (void)caller.call("square", 5);
  REQUIRE(caller.hears(3));
  CHECK_FALSE(node.has_ended());
  caller.manager.end_lease();
  REQUIRE(run_until(loop, [&] { return node.has_ended(); }));
  CHECK(node.exit_code() == 0);
  CHECK(caller.manager.lease->finished());
}

TEST_CASE("N6: a second SIGTERM ends an lpnode with what runs, and so does SIGINT", "[remote][N6]") {
  using namespace lpnode_process;
  if (!has_nats_server()) return;
  const NatsServer server;
  Lpnode node(servers(server), "stop_timeout = \"300 ms\"\n");
  const std::string address = node.address();
  INFO(node.said());
  REQUIRE_FALSE(address.empty());
  Loop loop;
  Caller caller(loop, {.servers = server.url()}, address);
  REQUIRE(caller.gets_lease());
  (void)caller.call("pid", 0);
  REQUIRE(caller.hears(1));
  for (int i = 0; i < 3; ++i) (void)caller.call("sleeps", 100'000);
  REQUIRE(run_until(loop, [&] { return caller.manager.lease->begun() >= 3; }));
  if (GENERATE(false, true)) {
    node.signal(SIGTERM);
    REQUIRE(test::eventually([&] { return node.said().find("lends no more") != std::string::npos; }));
    node.signal(SIGTERM);
  } else {
    node.signal(SIGINT);
  }
  REQUIRE(run_until(loop, [&] { return node.has_ended(); }));
  CHECK(node.exit_code() == 0);
  CHECK(caller.manager.closed == detail::remote::CloseReason::stopped);
  REQUIRE(caller.manager.outcomes.size() == 4);
  const auto worker = static_cast<pid_t>(PlayedManager::number_in(caller.manager.outcomes[0]));
  CHECK(test::eventually([&] { return ::kill(worker, 0) != 0 && errno == ESRCH; }));
}

TEST_CASE("N6: lpnode goes through TLS with a certificate and a password from a file", "[remote][N6]") {
  using namespace lpnode_process;
  if (!has_nats_server()) return;
  const Certificates certificates;
  if (!certificates.are_there()) return;
  const NatsServer server(
      certificates.of_server("server", ", verify: true, ca_file: \"" + certificates / "ca.crt" + "\"") +
      "\nauthorization { user: node, password: secret }");
  server.write_file("password", "secret\n");
  const std::string url = "tls://127.0.0.1:" + std::to_string(server.port());
  const Lpnode node("servers = \"" + url + "\"\nuser = \"node\"\ncredentials_file = \"" + server.path("password") +
                    "\"\nca_file = \"" + certificates / "ca.crt" + "\"\ncert_file = \"" + certificates / "client.crt" +
                    "\"\nkey_file = \"" + certificates / "client.key" + "\"\n");
  const std::string address = node.address();
  INFO(node.said());
  REQUIRE_FALSE(address.empty());
  Loop loop;
  Caller caller(loop,
                {.servers = url,
                 .user = "node",
                 .credentials_file = server.path("password"),
                 .ca_file = certificates / "ca.crt",
                 .cert_file = certificates / "client.crt",
                 .key_file = certificates / "client.key"},
                address);
  REQUIRE(caller.gets_lease());
  (void)caller.call("square", 9);
  REQUIRE(caller.hears(1));
  CHECK(PlayedManager::number_in(caller.manager.outcomes[0]) == 81);
}

TEST_CASE("N8: with the example's configuration of a server, each user may do what its part needs, and no more",
          "[remote][N8]") {
  using namespace lpnode_process;
  if (!has_nats_server()) return;
  std::string text = text_of(LEASEPOOL_NATS_CONF);
  const std::string listens = "listen: \"0.0.0.0:4222\"\n";
  REQUIRE(text.find(listens) != std::string::npos);
  text.erase(text.find(listens), listens.size());  // the test has a port of its own
  for (const std::string part : {"NODE", "CALLER", "WATCHER"}) {
    const std::string name = "LEASEPOOL_" + part + "_PASSWORD";
    REQUIRE(::setenv(name.c_str(), ("pw-" + part).c_str(), 1) == 0);  // NOLINT(concurrency-mt-unsafe): one thread
  }
  const NatsServer server(text);
  for (const std::string part : {"NODE", "CALLER", "WATCHER"}) server.write_file(part, "pw-" + part + "\n");
  const Lpnode node(servers(server) + "user = \"node\"\ncredentials_file = \"" + server.path("NODE") + "\"\n");
  const std::string address = node.address();
  INFO(node.said());
  REQUIRE_FALSE(address.empty());

  Loop loop;
  const auto as = [&](const std::string& user, const std::string& part) {
    return ConnectionOptions{.servers = server.url(), .user = user, .credentials_file = server.path(part)};
  };
  Caller caller(loop, as("caller", "CALLER"), address);
  REQUIRE(caller.gets_lease());
  (void)caller.call("square", 3);
  REQUIRE(caller.hears(1));
  CHECK(caller.manager.refusals.empty());

  const RemoteOptions watcher{.servers = server.url(), .user = "watcher", .credentials_file = server.path("WATCHER")};
  const auto watch = [&](Loop& on) -> Task<std::vector<NodeInfo>> {
    auto asking = ask_nodes(on, watcher);
    co_return co_await asking;
  };
  const std::vector<NodeInfo> nodes = loop.block_on(watch(loop));
  REQUIRE(nodes.size() == 1);
  CHECK(nodes[0].pools_free == 0);
  REQUIRE(nodes[0].leases.size() == 1);
  CHECK(nodes[0].leases[0].owner == "tester");

  // What each of them is refused.
  const auto refused = [&](const std::string& user, const std::string& part, const std::string& verb,
                           const std::string& subject) {
    test::BusClient client(loop, as(user, part));
    REQUIRE(client.connects());
    if (verb == "listen") {
      client.listen(subject);
    } else {
      (void)client.say(subject, "x");
    }
    return client.next_refusal();
  };
  CHECK_THAT(refused("caller", "CALLER", "listen", "lp.v1.default.n.>"), ContainsSubstring("Permissions Violation"));
  CHECK_THAT(refused("caller", "CALLER", "publish", "lp.v1.default.c.other.1"),
             ContainsSubstring("Permissions Violation"));
  CHECK_THAT(refused("caller", "CALLER", "publish", "lp.v1.other.n.a.1"), ContainsSubstring("Permissions Violation"));
  CHECK_THAT(refused("node", "NODE", "publish", "lp.v1.default.n.a.1"), ContainsSubstring("Permissions Violation"));
  CHECK_THAT(refused("node", "NODE", "listen", "lp.v1.default.c.>"), ContainsSubstring("Permissions Violation"));
  CHECK_THAT(refused("watcher", "WATCHER", "publish", address), ContainsSubstring("Permissions Violation"));
  CHECK_THAT(refused("watcher", "WATCHER", "listen", "lp.v1.default.c.>"), ContainsSubstring("Permissions Violation"));
  CHECK_THAT(refused("watcher", "WATCHER", "publish", "lp.v1.default.default.want.0.0"),
             ContainsSubstring("Permissions Violation"));
}
