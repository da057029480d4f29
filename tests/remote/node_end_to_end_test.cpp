// A Node with a real NATS server between it and a manager that the test plays; and what a server can be wrong with.
#include <unistd.h>

#include <leasepool/leasepool.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "nats/bus_client.hpp"
#include "nats/certificates.hpp"
#include "nats/fake_server.hpp"
#include "nats/nats_server.hpp"
#include "remote/played_manager.hpp"
#include "remote/subjects.hpp"
#include "support/process_state.hpp"

namespace node_end_to_end {

using namespace std::chrono_literals;
using namespace leasepool;
using detail::nats::ConnectionOptions;
using test::Certificates;
using test::FakeServer;
using test::has_nats_server;
using test::NatsServer;
using test::Peer;
using test::PlayedManager;
using test::run_until;

std::uint64_t thrice(std::uint64_t value) { return 3 * value; }
std::uint64_t naps(std::uint64_t milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}

struct Lines {
  std::vector<std::string> texts;
  [[nodiscard]] LogSink sink() {
    return [this](const LogRecord& record) { texts.emplace_back(record.text); };
  }
  [[nodiscard]] std::size_t with(const std::string& part) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(texts, [&](const std::string& text) { return text.find(part) != std::string::npos; }));
  }
};

ManagerOptions local(ExecutorBackend backend = ExecutorBackend::process) {
  ManagerOptions options;
  options.backend = backend;
  options.max_pools = 1;
  options.workers_per_pool = 2;
  options.stop_timeout = 300ms;
  options.log = [](const LogRecord&) {};
  return options;
}

// How the start of a node ends; its message, and what it logged of it before.
std::string failed_start(const RemoteOptions& remote, Errc expected = Errc::pool_broken) {
  Loop loop;
  Lines lines;
  ManagerOptions options = local(ExecutorBackend::thread);
  options.worker_start_timeout = 500ms;
  options.log = lines.sink();
  Node node(loop, remote, options);
  std::optional<Result<void>> started;
  node.start_async([&](const Result<void>& result) { started = result; });
  REQUIRE(run_until(loop, [&] { return started.has_value(); }));
  REQUIRE_FALSE(started->has_value());
  CHECK(started->error().code() == expected);
  CHECK(node.stats().state == NodeState::stopped);
  CHECK(node.stats().local.total == 0);
  const std::string last = node.stats().last_problem;
  CHECK(lines.with(last) == 1);
  CHECK_THAT(started->error().message(), ContainsSubstring(last));
  CHECK_THAT(last, ContainsSubstring("NATS server "));
  return started->error().message();
}

std::string failed_start(const std::string& servers) { return failed_start(RemoteOptions{.servers = servers}); }

// A connection of the played manager to a server.
struct Connected {
  Connected(Loop& loop, ConnectionOptions options)
      : bus(detail::nats::Connection::make(detail::Access::core(loop), std::move(options), manager)) {
    manager.attach(*bus);
  }
  Connected(const Connected&) = delete;
  Connected& operator=(const Connected&) = delete;
  ~Connected() { bus->close(); }
  void find(const Node& node) {
    manager.node = node.stats().instance;
    manager.node_subject = node.stats().address;
  }
  [[nodiscard]] bool gets_lease(Loop& loop, Duration hard_expiry = 1min) {
    if (!run_until(loop, [&] { return manager.connected; })) return false;
    manager.want();
    if (!run_until(loop, [&] { return manager.offer != 0; })) return false;
    manager.take_it(hard_expiry);
    return run_until(loop, [&] { return manager.granted; });
  }
  PlayedManager manager;
  std::shared_ptr<detail::nats::Connection> bus;
};

}  // namespace node_end_to_end

LEASEPOOL_REGISTER(node_end_to_end::thrice);
LEASEPOOL_REGISTER(node_end_to_end::naps);

TEST_CASE("N6: what a server is wrong with is the error of a node's start, with its address", "[remote][N6]") {
  using namespace node_end_to_end;
  CHECK_THAT(failed_start("nats://127.0.0.1:1"),
             ContainsSubstring("NATS server nats://127.0.0.1:1: ") && ContainsSubstring("refused"));
  const auto says = [](const std::string& words) {
    const FakeServer server([&](const Peer& peer) { (void)peer.send(words); });
    const std::string message = failed_start(server.url());
    CHECK_THAT(message, ContainsSubstring("NATS server " + server.url() + ": "));
    CHECK_THAT(message, ContainsSubstring("within worker_start_timeout = 500 ms"));
    return message;
  };
  CHECK_THAT(says("SSH-2.0-OpenSSH_9.2p1\r\n"), ContainsSubstring("no command of NATS"));
  CHECK_THAT(says("INFO {\"version\":\"2.1.0\"}\r\n"), ContainsSubstring("it is too old (version \"2.1.0\")"));
  CHECK_THAT(says(test::kFakeInfo + "-ERR 'maximum connections exceeded'\r\n"),
             ContainsSubstring("it ends the connection: maximum connections exceeded"));
  CHECK_THAT(says(""), ContainsSubstring("closed"));
}

TEST_CASE("N6: a user whom the server refuses, and one whom it forbids what a node needs", "[remote][N6]") {
  using namespace node_end_to_end;
  if (!has_nats_server()) return;
  const NatsServer server(R"(authorization { users = [
      {user: node, password: good},
      {user: mute, password: good, permissions: {subscribe: "lp.v1.default.c.>"}}] })");
  server.write_file("good", "good\n");
  server.write_file("bad", "bad\n");
  CHECK_THAT(
      failed_start(RemoteOptions{.servers = server.url(), .user = "node", .credentials_file = server.path("bad")}),
      ContainsSubstring("it refuses user \"node\": Authorization Violation"));
  CHECK_THAT(
      failed_start(RemoteOptions{.servers = server.url(), .user = "mute", .credentials_file = server.path("good")}),
      ContainsSubstring("it forbids this to user \"mute\": Permissions Violation for Subscription to "));
  CHECK_THAT(
      failed_start(RemoteOptions{.servers = server.url(), .user = "node", .credentials_file = server.path("none")}),
      ContainsSubstring(server.path("none")));
}

TEST_CASE("N6: a certificate that does not hold is the error of a node's start", "[remote][N6]") {
  using namespace node_end_to_end;
  if (!has_nats_server()) return;
  const Certificates certificates;
  if (!certificates.are_there()) return;
  const NatsServer server(certificates.of_server("server"));
  const std::string url = "tls://127.0.0.1:" + std::to_string(server.port());
  CHECK_THAT(failed_start(RemoteOptions{.servers = url, .ca_file = certificates / "other.crt"}),
             ContainsSubstring("NATS server " + url + ": ") && ContainsSubstring("certificate"));
  CHECK_THAT(failed_start(RemoteOptions{.servers = server.url(), .ca_file = certificates / "nowhere.crt"}),
             ContainsSubstring("nowhere.crt"));
}

TEST_CASE("N6: options of a node that make no sense are refused by name", "[remote][N6]") {
  using namespace node_end_to_end;
  Loop loop;
  const auto refusal = [&](const RemoteOptions& remote, const ManagerOptions& options) -> std::string {
    try {
      const Node node(loop, remote, options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "none";
  };
  const RemoteOptions good{.servers = "nats://127.0.0.1:1"};
  CHECK(refusal(good, local()) == "none");
  CHECK_THAT(refusal({}, local()), ContainsSubstring("RemoteOptions::servers"));
  CHECK_THAT(refusal(RemoteOptions{.servers = "nats://127.0.0.1:1", .cluster = "a.b"}, local()),
             ContainsSubstring("RemoteOptions::cluster = \"a.b\""));
  ManagerOptions options = local();
  options.max_pools = 0;
  CHECK_THAT(refusal(good, options), ContainsSubstring("ManagerOptions::max_pools = 0"));
  options = local(ExecutorBackend::remote);
  CHECK_THAT(refusal(good, options), ContainsSubstring("ManagerOptions::backend = remote must be process or thread"));
}

TEST_CASE("N6: a node lends its pool through a server, drains, and has gone", "[remote][N6]") {
  using namespace node_end_to_end;
  if (!has_nats_server()) return;
  const auto backend = GENERATE(ExecutorBackend::thread, ExecutorBackend::process);
  const NatsServer server;
  Loop loop;
  Node node(loop, RemoteOptions{.servers = server.url()}, local(backend));
  loop.block_on([](Node& started) -> Task<> { co_await started.start(); }(node));
  CHECK(node.stats().state == NodeState::running);
  CHECK(node.stats().pools_free == 1);
  CHECK(detail::remote::is_token(node.stats().name));
  CHECK(node.stats().name.ends_with("-" + std::to_string(::getpid())));
  Connected caller(loop, {.servers = server.url()});
  caller.find(node);
  REQUIRE(caller.gets_lease(loop));
  for (std::uint64_t i = 0; i < 20; ++i) (void)caller.manager.call(detail::function_id("node_end_to_end::thrice"), i);
  REQUIRE(run_until(loop, [&] { return caller.manager.outcomes.size() == 20; }));
  std::uint64_t sum = 0;
  for (const auto& outcome : caller.manager.outcomes) sum += PlayedManager::number_in(outcome);
  CHECK(sum == 570);

  std::optional<Result<void>> stopped;
  node.stop_async([&](const Result<void>& result) { stopped = result; });
  CHECK(node.stats().state == NodeState::draining);
  (void)caller.manager.call(detail::function_id("node_end_to_end::thrice"), 100);
  REQUIRE(run_until(loop, [&] { return caller.manager.outcomes.size() == 21; }));
  CHECK_FALSE(stopped.has_value());
  caller.manager.end_lease();
  REQUIRE(run_until(loop, [&] { return stopped.has_value(); }));
  CHECK(stopped->has_value());
  CHECK(caller.manager.lease->finished());
  CHECK(node.stats().local.total == 0);
  caller.manager.want();
  REQUIRE(run_until(loop, [&] { return caller.manager.nobody_listened == 1; }));
}

TEST_CASE("N6: a node that is stopped by force tells what became of each call, and ends", "[remote][N6]") {
  using namespace node_end_to_end;
  if (!has_nats_server()) return;
  const NatsServer server;
  Loop loop;
  Node node(loop, RemoteOptions{.servers = server.url()}, local());
  loop.block_on([](Node& started) -> Task<> { co_await started.start(); }(node));
  Connected caller(loop, {.servers = server.url()});
  caller.find(node);
  REQUIRE(caller.gets_lease(loop));
  for (int i = 0; i < 3; ++i) (void)caller.manager.call(detail::function_id("node_end_to_end::naps"), 100'000);
  REQUIRE(run_until(loop, [&] { return node.stats().local.leases.at(0).calls_running == 2; }));
  loop.block_on([](Node& stopped) -> Task<> { co_await stopped.stop(true); }(node));
  REQUIRE(caller.manager.outcomes.size() == 3);
  int not_run = 0;
  for (const auto& outcome : caller.manager.outcomes) not_run += outcome.head.may_have_run ? 0 : 1;
  CHECK(not_run == 1);
  CHECK(caller.manager.closed == detail::remote::CloseReason::stopped);
  CHECK(node.stats().state == NodeState::stopped);
}

TEST_CASE("N6: a node that is destroyed while it lends leaves nothing behind", "[remote][N6]") {
  using namespace node_end_to_end;
  if (!has_nats_server()) return;
  const NatsServer server;
  const bool loop_goes_first = GENERATE(false, true);
  std::optional<Loop> loop(std::in_place);
  std::optional<Node> node(std::in_place, *loop, RemoteOptions{.servers = server.url()}, local());
  loop->block_on([](Node& started) -> Task<> { co_await started.start(); }(*node));
  {
    Connected caller(*loop, {.servers = server.url()});
    caller.find(*node);
    REQUIRE(caller.gets_lease(*loop));
    (void)caller.manager.call(detail::function_id("node_end_to_end::naps"), 100'000);
    REQUIRE(run_until(*loop, [&] { return node->stats().local.leases.at(0).calls_running == 1; }));
  }
  if (loop_goes_first) {
    loop.reset();
    CHECK_THROWS_AS(node->start(), LeasePoolError);
    CHECK(node->stats().state == NodeState::stopped);
  }
  node.reset();
  SUCCEED("and the sanitizers find nothing that is left");
}

TEST_CASE("N6: a node is used on its loop's thread alone", "[remote][N6]") {
  using namespace node_end_to_end;
  Loop loop;
  Node node(loop, RemoteOptions{.servers = "nats://127.0.0.1:1"}, local());
  CHECK_THROWS_AS(node.start_async({}), std::invalid_argument);
  std::string said;
  std::thread([&] {
    try {
      (void)node.stats();
    } catch (const LeasePoolError& error) {
      if (error.code() == Errc::wrong_thread) said = error.what();
    }
  }).join();
  CHECK_THAT(said, ContainsSubstring("stats() was called off the loop's thread"));
  std::optional<Result<void>> stopped;
  node.stop_async([&](const Result<void>& result) { stopped = result; });  // as it has not started
  REQUIRE(run_until(loop, [&] { return stopped.has_value(); }));
  CHECK(stopped->has_value());
}

TEST_CASE("who asks which nodes there are is told by await and by callback, and why where no server is", "[remote]") {
  using namespace node_end_to_end;
  if (!has_nats_server()) return;
  const NatsServer server;
  Loop loop;
  const RemoteOptions remote{.servers = server.url()};
  Node node(loop, RemoteOptions{.servers = server.url()}, local());
  loop.block_on([](Node& started) -> Task<> { co_await started.start(); }(node));
  loop.block_on([](Loop& on, RemoteOptions options) -> Task<> {
    auto asking = ask_nodes(on, std::move(options), 300ms);
    const std::vector<NodeInfo> nodes = co_await asking;
    REQUIRE(nodes.size() == 1);
    CHECK(nodes.front().state == NodeState::running);
  }(loop, remote));

  std::optional<Result<std::vector<NodeInfo>>> told;
  const auto tell = [&](Result<std::vector<NodeInfo>> nodes) { told.emplace(std::move(nodes)); };
  ask_nodes_async(loop, remote, 300ms, tell);
  REQUIRE(run_until(loop, [&] { return told.has_value(); }));
  REQUIRE(told->has_value());
  CHECK((*told)->size() == 1);

  told.reset();
  ask_nodes_async(loop,
                  {.servers = "nats://127.0.0.1:1", .heartbeat = 20ms, .reconnect_grace = 100ms, .node_timeout = 100ms},
                  50ms, tell);
  REQUIRE(run_until(loop, [&] { return told.has_value(); }));
  REQUIRE_FALSE(told->has_value());
  CHECK(told->error().code() == Errc::pool_broken);
  CHECK_THAT(told->error().message(), ContainsSubstring("127.0.0.1:1"));
  CHECK_THROWS_AS(ask_nodes_async(loop, remote, 0s, tell), std::invalid_argument);
  CHECK_THROWS_AS(ask_nodes_async(loop, remote, 300ms, nullptr), std::invalid_argument);
}
