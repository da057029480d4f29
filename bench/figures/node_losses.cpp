// Nodes that die, with and without somebody who starts them again, and a server that does.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "figures/manager.hpp"
#include "figures/nodes.hpp"
#include "nats/nats_server.hpp"

namespace figures {

namespace {

using leasepool::Duration;
using leasepool::ExecutorLease;
using leasepool::Loop;
using leasepool::Task;
using leasepool::test::NatsServer;
using namespace std::chrono_literals;

// Runs body(loop, manager) on a caller of its own.
template <class Body>
void on_caller(const std::string& server, std::size_t pools, Body body) {
  Loop loop;
  const auto run = [&]() -> Task<> {
    leasepool::LeasedExecutorManager manager(loop, remote_manager(server, pools, 1));
    auto start = manager.start();
    co_await start;
    auto works = body(loop, manager);
    co_await works;
    auto stop = manager.stop();
    co_await stop;
  };
  loop.block_on(run());
}

Task<> until(Loop& loop, std::function<bool()> holds) {
  while (!holds()) {
    auto pause = loop.sleep(1ms);
    co_await pause;
  }
}

// A lease with a call that hangs, until its node is lost.
struct Hanging {
  ExecutorLease lease;
  std::uint64_t node = 0;
  std::optional<Clock::time_point> told;

  Task<> begin(leasepool::LeasedExecutorManager& manager) {
    auto acquire = acquire_lease(manager, Duration::max());
    lease = co_await acquire;
    auto ask = lease.run(node_number);
    node = co_await ask;
    lease.run_async(hang, [this](const leasepool::Result<void>& result) {
      if (!result && result.error().code() == leasepool::Errc::node_lost) told = Clock::now();
    });
  }
};

void add_rows(Report& report, const char* what, std::vector<double> times, double at_most) {
  std::ranges::sort(times);
  const std::string of = std::string("from a node's death ") + what;
  report.add({.figure = {}, .what = of + ", p50", .value = median(times), .unit = Unit::nanoseconds});
  report.add({.figure = "N",
              .what = of + ", the longest of " + std::to_string(times.size()),
              .value = times.back(),
              .unit = Unit::nanoseconds,
              .at_most = at_most});
}

}  // namespace

void add_lost_nodes(Report& report, const Options& options) {
  const std::size_t count = options.count("lost");
  std::mt19937_64 random(17);
  std::vector<double> times;
  for (std::size_t round = 0; round < options.count("rounds"); ++round) {
    progress(options, "nodes are killed, round " + std::to_string(round + 1));
    const NatsServer server;
    std::deque<NodeProcess> nodes;
    for (std::size_t i = 0; i < count; ++i) nodes.emplace_back(server.url(), 1, i);
    on_caller(server.url(), count, [&](Loop& loop, leasepool::LeasedExecutorManager& manager) -> Task<> {
      std::deque<Hanging> calls(count);
      for (Hanging& call : calls) {
        auto begins = call.begin(manager);
        co_await begins;
      }
      auto apart = loop.sleep(1s);  // else the last that came might be taken to replace who dies
      co_await apart;
      std::vector<Clock::time_point> killed(count);
      for (std::size_t i = 0; i < count; ++i) {
        auto pause = loop.sleep(std::chrono::milliseconds(random() % 100));
        co_await pause;
        killed[i] = nodes[i].kill();
      }
      auto all = until(
          loop, [&] { return std::ranges::all_of(calls, [](const Hanging& call) { return call.told.has_value(); }); });
      co_await all;
      for (const Hanging& call : calls) times.push_back(nanoseconds(*call.told - killed[call.node]));
    });
  }
  add_rows(report, "to its caller", times, 2.5e9);
}

void add_restarted_nodes(Report& report, const Options& options) {
  const NatsServer server;
  auto node = std::make_unique<NodeProcess>(server.url(), 1, 0);
  std::vector<double> times;
  on_caller(server.url(), 1, [&](Loop& loop, leasepool::LeasedExecutorManager& manager) -> Task<> {
    for (std::size_t i = 0; i < options.count("restarts"); ++i) {
      progress(options, "a node is restarted, " + std::to_string(i + 1));
      Hanging call;
      auto begins = call.begin(manager);
      co_await begins;
      const auto killed = node->kill();
      node = std::make_unique<NodeProcess>(server.url(), 1, 0);
      auto told = until(loop, [&] { return call.told.has_value(); });
      co_await told;
      times.push_back(nanoseconds(*call.told - killed));
    }
  });
  add_rows(report, "to its caller, where it is started again", times, 0.5e9);
}

namespace {

std::int64_t nanoseconds_now() { return Clock::now().time_since_epoch().count(); }

// Calls that follow one another.
class Stream {
 public:
  explicit Stream(const ExecutorLease& lease) : lease_(lease) {}
  void begin(std::size_t depth) {
    for (std::size_t i = 0; i < depth; ++i) call();
  }
  [[nodiscard]] std::size_t open() const { return open_; }
  void end() { ends_ = true; }

  std::size_t ended = 0;
  std::size_t failed = 0;
  std::atomic<std::int64_t> first = 0;  // when one has ended, since another thread has set it to zero

 private:
  void call() {
    ++open_;
    lease_.run_async(same, std::uint64_t{1}, [this](const leasepool::Result<std::uint64_t>& result) {
      --open_;
      ++ended;
      if (!result) ++failed;
      if (first == 0) first = nanoseconds_now();
      if (!ends_) call();
    });
  }

  const ExecutorLease& lease_;
  std::size_t open_ = 0;
  bool ends_ = false;
};

// Returns how long each restart of the server took from its being up to the first outcome.
std::vector<double> restart(NatsServer& server, std::atomic<std::int64_t>& first, std::size_t count) {
  std::mt19937_64 random(17);
  std::vector<double> times;
  for (std::size_t i = 0; i < count; ++i) {
    std::this_thread::sleep_for(1200ms);  // a connection that does not last is no better than none
    server.kill();
    std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 900));
    first = 0;  // what had come before was heard meanwhile
    server.start();
    const std::int64_t up = nanoseconds_now();
    while (first == 0) std::this_thread::sleep_for(1ms);
    times.push_back(static_cast<double>(std::max<std::int64_t>(0, first - up)));
  }
  return times;
}

}  // namespace

void add_server_restarts(Report& report, const Options& options) {
  constexpr std::size_t kDepth = 64;
  NatsServer server;
  const NodeProcess node(server.url(), 2, 0);
  std::vector<double> times;
  std::size_t calls = 0;
  std::size_t failed = 0;
  progress(options, "the server is restarted");
  on_caller(server.url(), 1, [&](Loop& loop, leasepool::LeasedExecutorManager& manager) -> Task<> {
    auto acquire = acquire_lease(manager, Duration::max());
    const ExecutorLease lease = co_await acquire;
    Stream stream(lease);
    stream.begin(kDepth);
    // One thread until the end: with the one that started it a server would end, too.
    std::atomic<bool> over = false;
    std::atomic<bool> may_end = false;
    std::jthread restarts([&] {
      times = restart(server, stream.first, options.count("restarts"));
      over = true;
      while (!may_end) std::this_thread::sleep_for(1ms);
    });
    auto all = until(loop, [&] {
      if (over) stream.end();
      return stream.open() == 0;
    });
    co_await all;
    may_end = true;
    calls = stream.ended;
    failed = stream.failed;
  });
  std::ranges::sort(times);
  report.add({.figure = {},
              .what = "from a server that is up again to the first outcome, p50",
              .value = median(times),
              .unit = Unit::nanoseconds});
  report.add(
      {.figure = "N",
       .what = "from a server that is up again to the first outcome, the longest of " + std::to_string(times.size()),
       .value = times.back(),
       .unit = Unit::nanoseconds,
       .at_most = 300e6});
  report.add({.figure = "N",
              .what = "calls that failed by that, of " + std::to_string(calls),
              .value = static_cast<double>(failed),
              .at_most = 0});
}

}  // namespace figures
