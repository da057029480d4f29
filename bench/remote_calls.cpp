// Calls of a node's worker processes through a NATS server, and calls of local ones in the same run: how many a second
// with 1, 64 and 1,024 in flight, and how long one takes.
#include <leasepool/leasepool.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "figures/manager.hpp"
#include "figures/report.hpp"
#include "lease/manager_core.hpp"
#include "loop/loop_core.hpp"
#include "nats/connection.hpp"
#include "nats/nats_server.hpp"
#include "remote/node_core.hpp"

namespace remote_calls {

using leasepool::Duration;
using leasepool::ExecutorBackend;
using leasepool::ExecutorLease;
using leasepool::Loop;
using Clock = std::chrono::steady_clock;

std::uint64_t echo(std::uint64_t value) { return value; }

// A node on a thread of its own, as a process of its own would be.
class NodeThread {
 public:
  NodeThread(std::string servers, std::size_t workers)
      : servers_(std::move(servers)), workers_(workers), thread_([this] { run(); }) {
    ready_.get_future().get();
  }
  NodeThread(const NodeThread&) = delete;
  NodeThread& operator=(const NodeThread&) = delete;
  ~NodeThread() {
    loop_->stop();
    thread_.join();
  }

 private:
  void run() {
    Loop loop;
    leasepool::LeasedExecutorManager manager(loop, figures::manager_options(ExecutorBackend::process, 1, workers_));
    figures::start(loop, manager);
    const auto core = leasepool::detail::Access::core(loop);
    leasepool::detail::remote::NodeOptions options;
    options.name = "bench";
    const auto node = std::make_shared<leasepool::detail::remote::NodeCore>(
        core, leasepool::detail::Access::core(manager), options, 7);
    const auto bus = leasepool::detail::nats::Connection::make(core, {.servers = servers_, .name = "node"}, *node);
    node->attach(*bus);
    loop_ = &loop;
    ready_.set_value();
    loop.run();
    node->close();
    bus->close();
  }

  std::string servers_;
  std::size_t workers_;
  Loop* loop_ = nullptr;
  std::promise<void> ready_;
  std::thread thread_;
};

struct Figures {
  double median_ns = 0;
  double per_second = 0;
};

Figures measure(Loop& loop, const ExecutorLease& lease, std::size_t in_flight, double seconds) {
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  std::vector<double> times;
  std::uint64_t ended = 0;
  std::size_t open = 0;
  std::function<void()> call = [&] {
    ++open;
    const auto asked = Clock::now();
    lease.run_async(echo, ended, [&, asked](const leasepool::Result<std::uint64_t>& result) {
      const auto now = Clock::now();
      --open;
      if (!result) result.error().raise();
      ++ended;
      if (in_flight == 1) times.push_back(std::chrono::duration<double, std::nano>(now - asked).count());
      if (now < end) return call();
      if (open == 0) loop.stop();
    });
  };
  for (std::size_t i = 0; i < in_flight; ++i) call();
  loop.run();
  const std::chrono::duration<double> took = Clock::now() - begin;
  std::ranges::sort(times);
  return {.median_ns = times.empty() ? 0 : times[times.size() / 2],
          .per_second = static_cast<double>(ended) / took.count()};
}

void add_rows(figures::Report& report, const std::string& who, leasepool::ManagerOptions options, double seconds) {
  Loop loop;
  leasepool::LeasedExecutorManager manager(loop, std::move(options));
  figures::start(loop, manager);
  const ExecutorLease lease = figures::acquire(loop, manager);
  (void)measure(loop, lease, 1, seconds / 4);  // warm
  for (const std::size_t in_flight : {std::size_t{1}, std::size_t{64}, std::size_t{1024}}) {
    const Figures found = measure(loop, lease, in_flight, seconds);
    report.add({.figure = {},
                .what = who + ": calls, " + std::to_string(in_flight) + " in flight",
                .value = found.per_second,
                .unit = figures::Unit::per_second});
    if (in_flight != 1) continue;
    report.add({.figure = {},
                .what = who + ": one call at a time, the median",
                .value = found.median_ns,
                .unit = figures::Unit::nanoseconds});
  }
}

}  // namespace remote_calls

LEASEPOOL_REGISTER(remote_calls::echo);

int main(int argc, char** argv) {
  leasepool::init();
  using namespace remote_calls;
  const figures::Options options(argc, argv, "Calls of worker processes on a node, through a NATS server on loopback.",
                                 {{"seconds", 2, "of each"}, {"workers", 2, "of the pool"}}, {{"seconds", 0.2, {}}});
  if (leasepool::test::NatsServer::program().empty()) {
    std::fprintf(stderr, "%s: there is no nats-server\n", options.program().c_str());
    return 0;
  }
  const double seconds = options.number("seconds");
  const std::size_t workers = options.count("workers");
  const leasepool::test::NatsServer server;
  figures::Report report(options);
  add_rows(report, "local processes", figures::manager_options(ExecutorBackend::process, 1, workers), seconds);
  const NodeThread node(server.url(), workers);
  leasepool::ManagerOptions remote = figures::manager_options(ExecutorBackend::remote, 1, workers);
  remote.min_pools = 0;
  remote.remote.servers = server.url();
  add_rows(report, "a node", std::move(remote), seconds);
  report.note("Caller and node in one process, on a thread each; the server and the workers in others.");
  report.print();
}
