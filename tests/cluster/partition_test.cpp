// A node that is cut off from the server, by the end of its cable in a network of its own.
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <leasepool/leasepool.hpp>

#include "catch.hpp"
#include "cluster/functions.hpp"
#include "cluster/part_process.hpp"
#include "nats/bus_client.hpp"
#include "nats/nats_server.hpp"
#include "support/eventually.hpp"
#include "support/skip.hpp"
#include "support/temporary_directory.hpp"
#include "support/waitable_children.hpp"

namespace cluster_partition {

using namespace std::chrono_literals;
using namespace leasepool;
using cluster::PartOptions;
using cluster::PartProcess;
using test::run_until;

constexpr int kCannot = 77;
constexpr std::uint64_t kForLong = 100'000'000;  // microseconds

bool shell(const std::string& command) {
  return std::system(command.c_str()) == 0;  // NOLINT(concurrency-mt-unsafe,cert-env33-c)
}

// A network of this process's own; also where only users' namespaces may be made.
bool enter_network() {
  const uid_t user = ::getuid();
  const gid_t group = ::getgid();
  if (::unshare(CLONE_NEWNET) == 0) return true;
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << group << " 1";
  return true;
}

// A node behind a cable, which is pulled and put back.
class FarNode {
 public:
  FarNode(const test::NatsServer& server, std::chrono::milliseconds node_timeout) {
    REQUIRE(::pipe(there_) == 0);
    REQUIRE(::pipe(ready_) == 0);
    const PartOptions options{.part = "node",
                              .servers = "nats://10.77.0.1:" + std::to_string(server.port()),
                              .log = directory_ / "log",
                              .id = 1,
                              .heartbeat = 50ms,
                              .node_timeout = node_timeout};
    node_ = std::make_unique<PartProcess>(options, [](void* self) { static_cast<FarNode*>(self)->move_away(); }, this);
    char byte = 0;
    REQUIRE(::read(there_[0], &byte, 1) == 1);
    REQUIRE(shell("ip link add lpa type veth peer name lpb netns " + std::to_string(node_->pid()) +
                  " && ip addr add 10.77.0.1/24 dev lpa && ip link set lpa up"));
    REQUIRE(there("ip addr add 10.77.0.2/24 dev lpb"));
    REQUIRE(there("ip link set lpb up"));
    REQUIRE(::write(ready_[1], "r", 1) == 1);
    for (const int fd : {there_[0], there_[1], ready_[0], ready_[1]}) ::close(fd);
    INFO(node_->log());
    REQUIRE(node_->is_up());
  }
  FarNode(const FarNode&) = delete;
  FarNode& operator=(const FarNode&) = delete;
  ~FarNode() {
    node_.reset();
    (void)shell("ip link del lpa 2>/dev/null");  // which may have gone with the node
  }

  [[nodiscard]] bool pull() const { return there("ip link set lpb down"); }
  [[nodiscard]] bool put_back() const { return there("ip link set lpb up"); }
  [[nodiscard]] std::string log() const { return node_->log(); }
  // The workers that have begun a call.
  [[nodiscard]] std::vector<pid_t> workers() const {
    std::vector<pid_t> found;
    std::istringstream lines(log());
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("run ")) found.push_back(static_cast<pid_t>(std::stol(line.substr(line.rfind(' ') + 1))));
    }
    return found;
  }

 private:
  [[nodiscard]] bool there(const std::string& command) const {
    return shell("nsenter -t " + std::to_string(node_->pid()) + " -n " + command);
  }
  void move_away() const {
    char byte = 0;
    if (::unshare(CLONE_NEWNET) != 0 || ::write(there_[1], "t", 1) != 1 || ::read(ready_[0], &byte, 1) != 1) {
      ::_exit(kCannot);
    }
    for (const int fd : {there_[0], there_[1], ready_[0], ready_[1]}) ::close(fd);
  }

  test::TemporaryDirectory directory_;
  int there_[2]{};
  int ready_[2]{};
  std::unique_ptr<PartProcess> node_;
};

ManagerOptions manager_options(const test::NatsServer& server, std::chrono::milliseconds node_timeout) {
  ManagerOptions options{.backend = ExecutorBackend::remote, .max_pools = 1, .min_pools = 0, .workers_per_pool = 2};
  options.remote.servers = server.url();
  options.remote.heartbeat = 50ms;
  options.remote.node_timeout = node_timeout;
  options.remote.reconnect_grace = node_timeout;
  options.lease_grace = 0s;
  options.log = [](const LogRecord&) {};
  return options;
}

bool are_gone(const std::vector<pid_t>& processes) {
  return test::eventually(
      [&] { return std::ranges::all_of(processes, [](pid_t one) { return ::kill(one, 0) != 0 && errno == ESRCH; }); });
}

struct Answers {
  std::vector<std::optional<Result<std::string>>> of_each = std::vector<std::optional<Result<std::string>>>(8);
  [[nodiscard]] bool all() const {
    return std::ranges::all_of(of_each, [](const auto& one) { return one.has_value(); });
  }
};

// Eight calls of which two run for long; the cable is pulled when they do. Whether all is well once it is put back.
void cut_off(std::chrono::milliseconds node_timeout, std::optional<Duration> lease_duration, Errc expected) {
  const test::NatsServer server("listen: \"0.0.0.0:-1\"\n");
  const FarNode node(server, node_timeout);
  Loop loop;
  LeasedExecutorManager manager(loop, manager_options(server, node_timeout));
  loop.block_on([](LeasedExecutorManager& started) -> Task<> {
    auto start = started.start();
    co_await start;
  }(manager));
  std::optional<ExecutorLease> lease;
  const auto get_lease = [&](std::optional<Duration> lasts) -> Task<> {
    AcquireOptions wanted{.owner = "tester", .timeout = 60s};
    if (lasts) wanted.lease_duration = *lasts;
    auto acquire = manager.acquire(wanted);
    lease.emplace(co_await acquire);
  };
  loop.block_on(get_lease(lease_duration));
  Answers answers;
  for (std::uint64_t number = 0; number < answers.of_each.size(); ++number) {
    lease->run_async(cluster::noted, number + 1, kForLong, std::string(),
                     [&answers, number](Result<std::string> result) { answers.of_each[number] = std::move(result); });
  }
  REQUIRE(run_until(loop, [&] { return node.workers().size() == 2; }));
  REQUIRE(node.pull());
  REQUIRE(run_until(loop, [&] { return answers.all(); }));
  std::size_t may_have_run = 0;
  for (std::size_t i = 0; i < answers.of_each.size(); ++i) {
    const Result<std::string>& answer = *answers.of_each[i];
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().code() == expected);
    may_have_run += answer.error().may_have_run() ? 1U : 0U;
    const bool ran = cluster::lines_with(node.log(), "run " + std::to_string(i + 1) + " ") > 0;
    if (ran) CHECK(answer.error().may_have_run());
  }
  CHECK(may_have_run >= 2);
  CHECK(may_have_run < answers.of_each.size());
  CHECK_FALSE(lease->active());
  CHECK(are_gone(node.workers()));  // while nobody can tell the node to

  REQUIRE(node.put_back());
  loop.block_on(get_lease({}));
  std::string answer;
  const auto call_again = [&]() -> Task<> {
    auto call = lease->run(cluster::noted, std::uint64_t{100}, std::uint64_t{0}, std::string("b"));
    answer = co_await call;
  };
  loop.block_on(call_again());
  CHECK(answer == cluster::answer_of(100, 1));
  CHECK(cluster::lines_with(node.log(), "run ") == 3);  // what had not run has not run since
  lease.reset();
  loop.block_on([](LeasedExecutorManager& stopped) -> Task<> {
    auto stop = stopped.stop();
    co_await stop;
  }(manager));
}

}  // namespace cluster_partition

TEST_CASE("cut off at its lease's hard expiry", "[.partition]") {
  using namespace cluster_partition;
  cut_off(60s, 1s, Errc::lease_expired);
}

TEST_CASE("cut off until it is lost", "[.partition]") {
  using namespace cluster_partition;
  cut_off(700ms, {}, Errc::node_lost);
}

TEST_CASE(
    "N5, N3: a node that is cut off kills what runs at its own deadline, is told lost, and goes on when it is back",
    "[cluster][N3][N5]") {
  using namespace cluster_partition;
  if (!test::has_nats_server()) return;
  if (!shell("command -v ip >/dev/null && command -v nsenter >/dev/null")) {
    return test::skip("there is no ip or no nsenter (iproute2, util-linux)");
  }
  const std::string which = GENERATE(as<std::string>{}, "cut off at*", "cut off until*");
  const test::WaitableChildren waitable;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    test::WaitableChildren::put_back();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!enter_network() || !shell("ip link set lo up")) ::_exit(kCannot);
    ::execl("/proc/self/exe", "test_cluster", which.c_str(), static_cast<char*>(nullptr));
    ::_exit(kCannot);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kCannot) return test::skip("no network namespace may be made");
  CHECK(WEXITSTATUS(status) == 0);
}
