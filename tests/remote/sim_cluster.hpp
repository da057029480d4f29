// SimCluster: remote managers and nodes of imaginary workers, on a server in memory and a virtual clock. What a call
// does is run when its imaginary time is over.
#pragma once

#include <leasepool/leasepool.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "lease/manager_core.hpp"
#include "nats/memory_bus.hpp"
#include "remote/cluster_client.hpp"
#include "remote/node_core.hpp"
#include "sim/sim_pool.hpp"
#include "sim/sim_scheduler.hpp"

namespace leasepool::test {

class SimCluster {
 public:
  class Node {
   public:
    Node(SimCluster& cluster, const std::string& name, std::size_t pools, std::size_t workers, std::uint64_t instance);
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    ~Node();

    // As its process dies.
    void die();

    SimWorld world;
    std::shared_ptr<detail::ManagerCore> manager;
    std::shared_ptr<detail::remote::NodeCore> core;
    std::shared_ptr<detail::nats::MemoryBus> bus;
  };

  class Manager {
   public:
    Manager(SimCluster& cluster, const std::string& name, ManagerOptions options);
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;
    ~Manager() { manager->shut_down(); }

    struct Want {
      std::optional<Result<ExecutorLease>> got;
      [[nodiscard]] bool has_lease() const { return got && *got; }
      [[nodiscard]] ExecutorLease& lease() { return **got; }
      [[nodiscard]] const Error& error() const { return got->error(); }
    };
    std::shared_ptr<Want> acquire(const std::string& owner, std::optional<Duration> timeout = {}, bool wait = true,
                                  Duration duration = std::chrono::hours(1));

    std::shared_ptr<detail::ManagerCore> manager;
    std::shared_ptr<detail::remote::ClusterClient> client;
    detail::nats::MemoryBus* bus = nullptr;  // of this start
    std::optional<Result<void>> started;
    std::vector<std::string> log;
  };

  // What came of one call.
  struct Call {
    std::optional<Result<std::uint64_t>> got;
    [[nodiscard]] bool has_value(std::uint64_t value) const { return got && *got && **got == value; }
    [[nodiscard]] Errc code() const { return got && !*got ? detail::errc_of(got->error().code()) : Errc{}; }
    [[nodiscard]] bool may_have_run() const { return got->error().may_have_run(); }
    [[nodiscard]] const std::string& message() const { return got->error().message(); }
  };

  SimCluster() = default;
  SimCluster(const SimCluster&) = delete;
  SimCluster& operator=(const SimCluster&) = delete;
  ~SimCluster() { scheduler->run_until_idle(); }  // what is queued keeps what it is about

  static ManagerOptions options(std::size_t max_pools = 4, std::size_t min_pools = 0, std::size_t workers = 2);

  std::unique_ptr<Node> add_node(const std::string& name, std::size_t pools = 1, std::size_t workers = 2) {
    auto node = std::make_unique<Node>(*this, name, pools, workers, ++last_instance_);
    run();
    return node;
  }
  std::unique_ptr<Manager> add_manager(const std::string& name, ManagerOptions of_manager = options()) {
    auto manager = std::make_unique<Manager>(*this, name, std::move(of_manager));
    run();
    return manager;
  }
  // On its way is one call of a function that takes a number.
  template <class Verbs>
  static std::shared_ptr<Call> call(Verbs&& verbs, std::uint64_t (*function)(std::uint64_t), std::uint64_t argument) {
    auto made = std::make_shared<Call>();
    std::forward<Verbs>(verbs).run_async(
        function, argument, [made](Result<std::uint64_t> result) { made->got.emplace(std::move(result)); });
    return made;
  }
  // All that happens within a moment.
  void run() { scheduler->advance(std::chrono::milliseconds(1)); }
  void advance(Duration by) { scheduler->advance(by); }

  Duration manager_timeout = std::chrono::seconds(10);  // of nodes to come
  Duration heartbeat = std::chrono::milliseconds(250);  // the same
  Duration run_time = std::chrono::milliseconds(1);     // of a call on nodes to come
  std::shared_ptr<SimScheduler> scheduler = std::make_shared<SimScheduler>();
  detail::nats::MemoryServer server{*scheduler};

 private:
  std::uint64_t last_instance_ = 0;
};

}  // namespace leasepool::test
