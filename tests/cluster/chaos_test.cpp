// A cluster under load of which parts are killed and stopped at random, with a real NATS server between them: what
// callers were told is held against what the nodes noted of what ran.
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <leasepool/leasepool.hpp>

#include "catch.hpp"
#include "cluster/functions.hpp"
#include "cluster/part_process.hpp"
#include "cluster/verdict.hpp"
#include "nats/bus_client.hpp"
#include "nats/nats_server.hpp"
#include "support/eventually.hpp"
#include "support/long_run.hpp"
#include "support/sanitized.hpp"
#include "support/temporary_directory.hpp"

namespace cluster_chaos {

using namespace std::chrono_literals;
using namespace leasepool;
using cluster::PartOptions;
using cluster::PartProcess;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kNodes = 3;
constexpr std::size_t kCallers = 3;  // the last one has a grinder, where calls may fail

std::uint64_t seed() {
  const char* const given = std::getenv("LEASEPOOL_CHAOS_SEED");  // NOLINT(concurrency-mt-unsafe)
  const std::uint64_t value = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("LEASEPOOL_CHAOS_SEED=%llu\n", static_cast<unsigned long long>(value));
  std::fflush(stdout);
  return value;
}

class Cluster {
 public:
  Cluster(std::string caller, std::chrono::milliseconds heartbeat, std::chrono::milliseconds node_timeout)
      : caller_(std::move(caller)), heartbeat_(heartbeat), node_timeout_(node_timeout) {
    parts_.resize(kNodes + kCallers);
    for (std::size_t at = 0; at < parts_.size(); ++at) start(at);
  }

  [[nodiscard]] test::NatsServer& server() { return server_; }
  [[nodiscard]] const std::vector<std::unique_ptr<PartProcess>>& parts() const { return parts_; }
  [[nodiscard]] PartOptions options(std::string part) const {
    return {.part = std::move(part),
            .servers = server_.url(),
            .log = {},
            .id = 0,
            .heartbeat = heartbeat_,
            .node_timeout = node_timeout_};
  }

  // With a new process, and a log of its own.
  void start(std::size_t at) {
    const bool grinds = at == kNodes + kCallers - 1 && caller_ == "caller";
    PartOptions made = options(at < kNodes ? "node" : grinds ? "grinder" : caller_);
    made.id = ++last_id_;
    made.log = directory_ / (made.part + std::to_string(made.id));
    (at < kNodes ? node_logs_ : caller_logs_).push_back(made.log);
    parts_[at] = std::make_unique<PartProcess>(made);
  }

  // Each caller that is there now has as many calls succeed from now on.
  [[nodiscard]] bool all_goes_on(std::size_t calls) const {
    std::vector<std::size_t> before;
    for (std::size_t at = kNodes; at < parts_.size(); ++at) before.push_back(parts_[at]->lines("ok "));
    for (std::size_t at = kNodes; at < parts_.size(); ++at) {
      const auto goes_on = [&] { return parts_[at]->lines("ok ") >= before[at - kNodes] + calls; };
      if (!test::eventually(goes_on, 60s)) return false;
    }
    return true;
  }

  void end_callers() {
    for (std::size_t at = kNodes; at < parts_.size(); ++at) {
      INFO(parts_[at]->log());
      CHECK(parts_[at]->ends());
    }
  }
  void end_nodes() {
    for (std::size_t at = 0; at < kNodes; ++at) {
      INFO(parts_[at]->log());
      CHECK(parts_[at]->ends());
    }
  }
  [[nodiscard]] cluster::Verdict verdict() const {
    cluster::Verdict verdict;
    for (const std::string& log : node_logs_) verdict.add_node(cluster::text_of(log));
    for (const std::string& log : caller_logs_) verdict.add_caller(cluster::text_of(log));
    return verdict;
  }

 private:
  const std::string caller_;
  const std::chrono::milliseconds heartbeat_;
  const std::chrono::milliseconds node_timeout_;
  test::TemporaryDirectory directory_;
  test::NatsServer server_;
  std::vector<std::string> node_logs_;
  std::vector<std::string> caller_logs_;
  std::uint64_t last_id_ = 0;
  std::vector<std::unique_ptr<PartProcess>> parts_;  // nodes first
};

// What is done to the server and to the parts, and undone some time later.
class Chaos {
 public:
  Chaos(Cluster& cluster, std::uint64_t seed) : cluster_(cluster), random_(seed), back_at_(kNodes + kCallers + 1) {}

  std::chrono::milliseconds random(std::int64_t from, std::int64_t to) {
    return std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(from, to)(random_));
  }

  // A worker or a fork server of a node, which has to do without. Not while the node starts: without its first fork
  // server it says so, and ends. Nor its other fork server soon after one: without both there are no workers any more.
  void strike_child() {
    const std::size_t at = random_() % kNodes;
    const PartProcess& node = *cluster_.parts()[at];
    if (node.lines("up") == 0) return;
    const auto is_server = [](pid_t child) {
      return cluster::text_of("/proc/" + std::to_string(child) + "/comm") == "lp-forkserver\n";
    };
    auto children = node.children();
    if (Clock::now() < server_killed_[at] + 2s) std::erase_if(children, is_server);
    if (children.empty()) return;
    const pid_t child = children[random_() % children.size()];
    if (is_server(child)) server_killed_[at] = Clock::now();
    ++children_;
    ::kill(child, SIGKILL);
  }
  void strike(std::chrono::milliseconds most) {
    if (random_() % 3 == 0) return strike_child();
    const std::size_t at = random_() % back_at_.size();
    const bool kills = random_() % 2 == 0;
    if (back_at_[at].back) return;
    const auto pause = random_() % 2 == 0 ? random(0, most.count() / 6) : random(0, most.count());
    ++strikes_;
    if (at == kNodes + kCallers) {
      kills ? cluster_.server().kill() : cluster_.server().signal(SIGSTOP);
    } else {
      kills ? cluster_.parts()[at]->kill() : cluster_.parts()[at]->signal(SIGSTOP);
    }
    back_at_[at] = {.back = Clock::now() + pause, .killed = kills};
  }
  // Only the server, and stops of the rest: for as long.
  void disturb(std::chrono::milliseconds most) {
    const std::size_t at = random_() % back_at_.size();
    if (back_at_[at].back) return;
    ++strikes_;
    const bool kills = at == kNodes + kCallers && random_() % 3 != 0;
    if (kills) {
      cluster_.server().kill();
    } else if (at == kNodes + kCallers) {
      cluster_.server().signal(SIGSTOP);
    } else {
      cluster_.parts()[at]->signal(SIGSTOP);
    }
    back_at_[at] = {.back = Clock::now() + random(0, most.count()), .killed = kills};
  }

  void bring_back(Clock::time_point due) {
    for (std::size_t at = 0; at < back_at_.size(); ++at) {
      if (!back_at_[at].back || *back_at_[at].back > due) continue;
      const bool killed = back_at_[at].killed;
      if (at == kNodes + kCallers) {
        killed ? cluster_.server().start() : cluster_.server().signal(SIGCONT);
      } else if (killed) {
        cluster_.start(at);
      } else {
        cluster_.parts()[at]->signal(SIGCONT);
      }
      back_at_[at] = {};
    }
  }
  void print() const {
    std::printf("%zu times a part was killed or stopped, and %zu times a process of a node killed\n", strikes_,
                children_);
  }
  [[nodiscard]] std::size_t children_killed() const { return children_; }

 private:
  struct Away {
    std::optional<Clock::time_point> back;
    bool killed = false;
  };
  Cluster& cluster_;
  std::mt19937_64 random_;
  std::vector<Away> back_at_;  // of the parts, and of the server behind them
  std::array<Clock::time_point, kNodes> server_killed_{};
  std::size_t strikes_ = 0;
  std::size_t children_ = 0;
};

// When nobody else has a lease any more: each pool of each node can be had, works, and there is none beyond.
Task<> use_every_pool(Loop& loop, const Cluster& cluster) {
  constexpr std::size_t kAll = kNodes * cluster::kPools;
  ManagerOptions options{.backend = ExecutorBackend::remote, .max_pools = kAll + 1, .min_pools = 0};
  options.remote = cluster::remote_options(cluster.options("caller"));
  options.remote.node_timeout = 10s;
  options.remote.reconnect_grace = 5s;
  options.log = [](const LogRecord&) {};
  LeasedExecutorManager manager(loop, options);
  auto start = manager.start();
  co_await start;
  std::vector<ExecutorLease> leases;
  for (std::size_t i = 0; i < kAll; ++i) {
    auto acquire = manager.acquire({.owner = "last", .timeout = 60s});
    leases.push_back(co_await acquire);
  }
  for (ExecutorLease& lease : leases) {
    auto call = lease.run(cluster::noted, std::uint64_t{0}, std::uint64_t{0}, std::string("b"));
    const std::string answer = co_await call;
    CHECK(answer == cluster::answer_of(0, 1));
  }
  std::size_t leased = 0;
  for (const RemoteNodeStats& node : manager.stats().nodes) {
    CHECK((node.leases == 0 || node.leases == cluster::kPools));
    leased += node.leases;
  }
  CHECK(leased == kAll);
  std::optional<Errc> refused;
  auto beyond = manager.acquire({.owner = "beyond", .wait = false});
  try {
    (void)co_await beyond;
  } catch (const LeasePoolError& error) {
    refused = static_cast<Errc>(error.code().value());
  }
  CHECK(refused == Errc::lease_unavailable);
  leases.clear();
  auto stop = manager.stop();
  co_await stop;
}

}  // namespace cluster_chaos

TEST_CASE(
    "N2, N3: whatever is killed and stopped, no call runs twice, what is said of each is true, and no pool is lost",
    "[cluster][chaos][N1][N2][N3][N9]") {
  using namespace cluster_chaos;
  if (!test::has_nats_server()) return;
  Cluster cluster("caller", 20ms, 300ms);
  Chaos chaos(cluster, seed());
  const auto end = Clock::now() + (test::long_run() ? Clock::duration(5min) : Clock::duration(7s));
  while (Clock::now() < end) {
    chaos.strike(900ms);
    const auto next = Clock::now() + chaos.random(10, 120);
    while (Clock::now() < next) {
      std::this_thread::sleep_for(2ms);
      chaos.bring_back(Clock::now());
    }
  }
  chaos.bring_back(Clock::time_point::max());
  CHECK(cluster.all_goes_on(20));
  cluster.end_callers();
  Loop loop;
  loop.block_on(use_every_pool(loop, cluster));
  cluster.end_nodes();
  chaos.print();
  CHECK(chaos.children_killed() > 0);
  cluster::Verdict verdict = cluster.verdict();
  CHECK(verdict.wrongs() == "");
  verdict.print();
  CHECK(verdict.ok() > 0);
}

TEST_CASE(
    "N4: a server that is away, and nodes and callers that rest, for less than node_timeout cost nothing but time",
    "[cluster][chaos][N2][N4]") {
  using namespace cluster_chaos;
  if (!test::has_nats_server()) return;
  Cluster cluster("patient", 50ms, 60s);
  for (const auto& part : cluster.parts()) REQUIRE(part->is_up());
  Chaos chaos(cluster, seed());
  const auto end = Clock::now() + (test::long_run() ? Clock::duration(2min) : Clock::duration(4s));
  while (Clock::now() < end) {
    chaos.disturb(400ms);
    const auto next = Clock::now() + chaos.random(10, 120);
    while (Clock::now() < next) {
      std::this_thread::sleep_for(2ms);
      chaos.bring_back(Clock::now());
    }
  }
  chaos.bring_back(Clock::time_point::max());
  CHECK(cluster.all_goes_on(20));
  cluster.end_callers();
  cluster.end_nodes();
  chaos.print();
  cluster::Verdict verdict = cluster.verdict();
  CHECK(verdict.wrongs() == "");
  verdict.print();
  CHECK(verdict.ok() > 0);
  CHECK(verdict.failed() == 0);
}
