// RemotePair: a node and a remote manager in one process, with a real NATS server between them.
#pragma once

#include <leasepool/leasepool.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "catch.hpp"
#include "lease/manager_core.hpp"
#include "loop/loop_core.hpp"
#include "nats/connection.hpp"
#include "nats/nats_server.hpp"
#include "remote/node_core.hpp"
#include "support/skip.hpp"

namespace leasepool::test {

// A node as a process of its own would be: its own manager and its own connection.
class TestNode {
 public:
  TestNode(Loop& loop, const std::string& servers, ManagerOptions options, std::string name, std::uint64_t instance)
      : loop_(loop),
        servers_(servers),
        manager_(loop, std::move(options)),
        name_(std::move(name)),
        instance_(instance) {}
  TestNode(const TestNode&) = delete;
  TestNode& operator=(const TestNode&) = delete;
  ~TestNode() { close(); }

  Task<> start() {
    co_await manager_.start();
    detail::remote::NodeOptions options;
    options.name = name_;
    options.limits.max_payload = detail::Access::core(manager_)->options().max_payload;
    const auto loop_core = detail::Access::core(loop_);
    node_ = std::make_shared<detail::remote::NodeCore>(loop_core, detail::Access::core(manager_), options, instance_);
    bus_ = detail::nats::Connection::make(loop_core, {.servers = servers_, .name = name_}, *node_);
    node_->attach(*bus_);
    node_->lend();
  }
  // As its process dies: nobody is told.
  void close() noexcept {
    if (!node_) return;
    node_->close();
    bus_->close();
    node_.reset();
  }
  [[nodiscard]] LeasedExecutorManager& manager() noexcept { return manager_; }
  [[nodiscard]] detail::remote::NodeCore& core() const noexcept { return *node_; }

 private:
  Loop& loop_;
  std::string servers_;
  LeasedExecutorManager manager_;
  std::string name_;
  std::uint64_t instance_;
  std::shared_ptr<detail::remote::NodeCore> node_;
  std::shared_ptr<detail::nats::Connection> bus_;
};

[[nodiscard]] inline ManagerOptions node_options(std::size_t pools = 1, std::size_t workers = 2) {
  ManagerOptions options{.backend = ExecutorBackend::process, .max_pools = pools, .workers_per_pool = workers};
  options.name_prefix = "node";
  options.log = [](const LogRecord&) {};
  return options;
}
[[nodiscard]] inline ManagerOptions remote_options(const std::string& servers, std::size_t pools = 1) {
  ManagerOptions options{.backend = ExecutorBackend::remote, .max_pools = pools, .min_pools = 0};
  options.name_prefix = "remote";
  options.remote.servers = servers;
  options.log = [](const LogRecord&) {};
  return options;
}

// Until it holds; fails after a time that only a broken test needs.
Task<> until_holds(Loop& loop, auto holds) {
  for (int i = 0; i < 150'000 && !holds(); ++i) {
    auto pause = loop.sleep(std::chrono::microseconds(200));
    co_await pause;
  }
  REQUIRE(holds());
}

}  // namespace leasepool::test
