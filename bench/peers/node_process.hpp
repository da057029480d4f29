// A node of leasepool in a process of its own, and the NATS server between.
#pragma once

#include <leasepool/leasepool.hpp>

#include <string>

#include "nats_server.hpp"
#include "worker_process.hpp"

namespace peers {

// Constructed before the program has another thread.
class NodeProcess {
 public:
  [[nodiscard]] std::string servers() const { return server_.url(); }

 private:
  // As many pools as there are workers, of as many: enough for each scenario.
  void lend(const auto& ready) const {
    leasepool::init();
    leasepool::ManagerOptions pools;
    pools.backend = leasepool::ExecutorBackend::process;
    pools.max_pools = pools.workers_per_pool = kWorkers;
    pools.name_prefix = "peer";
    leasepool::RemoteOptions remote;
    remote.servers = server_.url();
    leasepool::Loop loop;
    leasepool::Node node(loop, remote, pools);
    loop.block_on([](leasepool::Node& starting) -> leasepool::Task<> { co_await starting.start(); }(node));
    ready();
    loop.run();
  }

  NatsServer server_;
  WorkerProcess process_{0, [this](const std::string& /*name*/, const auto& ready) { lend(ready); }};
};

}  // namespace peers
