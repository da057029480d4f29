// What an acquire costs among many nodes: the real client and the real nodes, on a server in memory that takes a
// millisecond for each message, and a virtual clock.
#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "figures/nodes.hpp"
#include "remote/sim_cluster.hpp"

namespace figures {

namespace {

using namespace std::chrono_literals;
using leasepool::test::SimCluster;

constexpr leasepool::Duration kTrip = 2ms;  // there and back

struct Costs {
  std::vector<double> messages;  // to and from the manager that acquires
  std::vector<double> trips;
  double first = 0;  // messages of its first acquire, when it does not know yet how many nodes there are
};

leasepool::ManagerOptions options_for(std::size_t pools) {
  leasepool::ManagerOptions options = SimCluster::options(pools);
  options.remote.heartbeat = 1h;
  options.remote.node_timeout = 24h;
  return options;
}

// Acquires and releases, one after the other, where some of the nodes are busy all the time.
Costs measure(std::size_t count, double free_part, std::size_t acquires) {
  std::mt19937_64 random(17);
  SimCluster cluster;
  cluster.heartbeat = 1h;  // what acquires cost is counted, and nothing else
  cluster.manager_timeout = 48h;
  std::vector<std::unique_ptr<SimCluster::Node>> nodes;
  const auto free = static_cast<std::size_t>(static_cast<double>(count) * free_part);
  for (std::size_t i = 0; i < count; ++i) {  // one without a pool says as little as one whose pools are lent
    nodes.push_back(
        std::make_unique<SimCluster::Node>(cluster, "node-" + std::to_string(i), i < free ? 1U : 0U, 1, random()));
  }
  cluster.advance(1min);
  std::size_t messages = 0;
  cluster.server.fate = [&](const auto& trip) {
    messages += trip.from == "caller" || trip.to == "caller" ? 1U : 0U;
    return std::vector<leasepool::Duration>{kTrip / 2};
  };
  const auto manager = cluster.add_manager("caller", options_for(1));
  Costs costs;
  for (std::size_t i = 0; i <= acquires; ++i) {
    messages = 0;
    const auto asked = cluster.scheduler->now();
    const auto want = manager->acquire("caller");
    while (!want->got) cluster.advance(kTrip / 4);
    costs.trips.push_back(static_cast<double>((cluster.scheduler->now() - asked).count()) /
                          static_cast<double>(kTrip.count()));
    cluster.advance(3 * kTrip);
    costs.messages.push_back(static_cast<double>(messages));
    want->lease().release();
    cluster.advance(3 * kTrip);
  }
  costs.first = costs.messages.front();
  return costs;
}

void add_rows(Report& report, std::size_t count, const char* free, Costs costs) {
  const std::string of = "one of " + std::to_string(count) + " simulated nodes, " + free + " free: ";
  std::ranges::sort(costs.messages);
  std::ranges::sort(costs.trips);
  const double last = static_cast<double>(costs.trips.size() - 1);
  report.add({.figure = "N",
              .what = of + "round trips of an acquire, p50",
              .value = median(costs.trips),
              .unit = Unit::ratio,
              .at_most = 3});
  report.add({.figure = {},
              .what = of + "round trips, p99",
              .value = costs.trips[static_cast<std::size_t>(last * 0.99)],
              .unit = Unit::ratio});
  report.add({.figure = {}, .what = of + "messages, p50", .value = median(costs.messages)});
  report.add({.figure = "N",
              .what = of + "messages, p99",
              .value = costs.messages[static_cast<std::size_t>(last * 0.99)],
              .at_most = 32});
  report.add({.figure = {}, .what = of + "messages of a manager's first acquire", .value = costs.first});
}

}  // namespace

void add_many_nodes(Report& report, const Options& options) {
  const std::size_t count = options.count("nodes");
  for (const auto& [part, name] : {std::pair(1.0, "all"), std::pair(0.5, "half"), std::pair(0.1, "a tenth")}) {
    progress(options, std::string("simulated nodes, ") + name + " free");
    add_rows(report, count, name, measure(count, part, options.count("simulated")));
  }
}

}  // namespace figures
