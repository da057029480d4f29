// Nodes and managers of a simulated cluster.
#include "sim_cluster.hpp"

namespace leasepool::test {

using namespace std::chrono_literals;

SimCluster::Node::Node(SimCluster& cluster, const std::string& name, std::size_t pools, std::size_t workers,
                       std::uint64_t instance) {
  world.next_run_time = [run_time = cluster.run_time] { return run_time; };
  ManagerOptions options{.backend = ExecutorBackend::process, .max_pools = pools, .workers_per_pool = workers};
  options.name_prefix = name;
  options.log = [](const LogRecord&) {};
  manager = std::make_shared<detail::ManagerCore>(
      cluster.scheduler, std::move(options), [this, &cluster, workers](const auto&) {
        auto pool = std::make_shared<SimPool>(*cluster.scheduler, world, workers);
        world.pools.push_back(pool);
        return pool;
      });
  manager->start([](const Result<void>&) {});
  cluster.scheduler->run_until_idle();
  detail::remote::NodeOptions of_node;
  of_node.name = name;
  of_node.manager_timeout = cluster.manager_timeout;
  of_node.heartbeat = cluster.heartbeat;
  core = std::make_shared<detail::remote::NodeCore>(cluster.scheduler, manager, of_node, instance);
  bus = cluster.server.connect(name, *core);
  core->attach(*bus);
  core->lend();
}

SimCluster::Node::~Node() { die(); }

void SimCluster::Node::die() {
  if (!core) return;
  core->close();
  bus->close();
  core.reset();
  manager->shut_down();
}

SimCluster::Manager::Manager(SimCluster& cluster, const std::string& name, ManagerOptions options) {
  options.name_prefix = name;
  options.log = [this](const LogRecord& record) { log.emplace_back(record.text); };
  const auto make_bus = [this, &cluster](detail::nats::BusOwner& owner, const std::string& as) {
    auto made = cluster.server.connect(as, owner);
    bus = made.get();
    return made;
  };
  client = std::make_shared<detail::remote::ClusterClient>(cluster.scheduler, options, make_bus,
                                                           std::hash<std::string>()(name));
  manager = std::make_shared<detail::ManagerCore>(cluster.scheduler, std::move(options), client);
  manager->start([this](const Result<void>& result) { started = result; });
}

auto SimCluster::Manager::acquire(const std::string& owner, std::optional<Duration> timeout, bool wait,
                                  Duration duration) -> std::shared_ptr<Want> {
  auto want = std::make_shared<Want>();
  (void)manager->acquire({.owner = owner,
                          .lease_duration = duration,
                          .wait = wait,
                          .timeout = timeout,
                          .where = std::source_location::current()},
                         [want](Result<ExecutorLease> lease) { want->got.emplace(std::move(lease)); });
  return want;
}

ManagerOptions SimCluster::options(std::size_t max_pools, std::size_t min_pools, std::size_t workers) {
  ManagerOptions options{
      .backend = ExecutorBackend::remote, .max_pools = max_pools, .min_pools = min_pools, .workers_per_pool = workers};
  options.remote.servers = "nats://memory";
  return options;
}

}  // namespace leasepool::test
