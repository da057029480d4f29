// SimNode: a node on a virtual clock, with a server in memory, imaginary workers, and a manager that the test plays.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "leasepool/node_stats.hpp"
#include "nats/memory_bus.hpp"
#include "remote/node_service.hpp"
#include "remote/played_manager.hpp"
#include "sim/sim_pool.hpp"
#include "sim/sim_scheduler.hpp"

namespace leasepool::test {

// A node with one pool of two workers, its server, and a manager.
struct SimNode {
  explicit SimNode(ManagerOptions options = {}, RemoteOptions remote = {}) {
    remote.servers = "nats://memory";
    options.max_pools = 1;
    options.workers_per_pool = 2;
    options.worker_start_timeout = std::chrono::seconds(3);
    options.stop_timeout = std::chrono::seconds(5);
    options.log = [this](const LogRecord& record) { lines.emplace_back(record.text); };
    world.next_run_time = [this] { return run_time; };
    manager = std::make_shared<detail::ManagerCore>(scheduler, options, [this](const auto&) {
      auto pool = std::make_shared<SimPool>(*scheduler, world, 2);
      world.pools.push_back(pool);
      return pool;
    });
    node = std::make_shared<detail::NodeService>(
        scheduler, manager, remote, "here",
        [this](detail::nats::BusOwner& owner) { return node_bus = server.connect("node", owner); });
  }
  SimNode(const SimNode&) = delete;
  SimNode& operator=(const SimNode&) = delete;
  ~SimNode() {
    node->shut_down();
    node.reset();
    manager->shut_down();
    if (tester_bus) tester_bus->close();
    scheduler->run_until_idle();
  }

  void start() {
    node->start([this](const Result<void>& result) { started = result; });
  }
  void stop(bool force = false) {
    node->stop(force, [this](const Result<void>& result) { stopped = result; });
  }
  void start_and_lease(Duration hard_expiry = std::chrono::hours(1)) {
    start();
    tester_bus = server.connect("tester", tester);
    tester.attach(*tester_bus);
    scheduler->advance(std::chrono::milliseconds(10));
    REQUIRE(started.has_value());
    REQUIRE(started->has_value());
    tester.node_subject = node->stats().address;
    tester.node = node->stats().instance;
    tester.want();
    scheduler->advance(std::chrono::milliseconds(10));
    REQUIRE(tester.offer != 0);
    tester.take_it(hard_expiry);
    scheduler->advance(std::chrono::milliseconds(10));
    REQUIRE(tester.granted);
  }
  // A manager that is there says so now and then.
  void advance(Duration by) {
    for (Duration done{}; done < by; done += std::chrono::milliseconds(100)) {
      if (tester.lease) tester.lease->want_marks();
      tester.flush();
      scheduler->advance(std::chrono::milliseconds(100));
    }
  }
  [[nodiscard]] NodeState state() const { return node->stats().state; }
  [[nodiscard]] std::size_t lines_with(const std::string& text) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(lines, [&](const std::string& line) { return line.find(text) != std::string::npos; }));
  }

  std::shared_ptr<SimScheduler> scheduler = std::make_shared<SimScheduler>();
  Duration run_time = std::chrono::milliseconds(1);
  SimWorld world;
  std::vector<std::string> lines;
  detail::nats::MemoryServer server{*scheduler};
  std::shared_ptr<detail::nats::MemoryBus> node_bus;
  std::shared_ptr<detail::ManagerCore> manager;
  std::shared_ptr<detail::NodeService> node;
  PlayedManager tester;
  std::shared_ptr<detail::nats::MemoryBus> tester_bus;
  std::optional<Result<void>> started;
  std::optional<Result<void>> stopped;
};

}  // namespace leasepool::test
