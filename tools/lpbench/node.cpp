// `lpbench node`: lends pools of worker processes to `lpbench calls`, `grind` and `files` on this machine or another.
#include "node.hpp"

#include <leasepool/leasepool.hpp>

#include <csignal>

#include "../common/standard_streams.hpp"
#include "progress.hpp"
#include "units.hpp"

namespace lpbench {

namespace {

leasepool::Task<> lend(leasepool::SignalSet& signals, leasepool::Node& node, const NodeOptions& options) {
  co_await node.start();
  tools::print("node {} lends {} of {} to cluster {}, pool {}; Ctrl-C ends it\n", node.stats().name,
               counted(options.pools, "pool"), counted(options.workers, "worker"), options.remote.cluster,
               options.remote.pool);
  tools::flush_output();  // whoever reads it through a pipe waits for it
  co_await signals.next();
  co_await node.stop(true);  // lpbench's leases have no end to wait for
}

}  // namespace

void run_node(const NodeOptions& options) {
  Progress progress(std::chrono::seconds(0));
  leasepool::ManagerOptions pools = manager_options(options);
  pools.backend = leasepool::ExecutorBackend::process;
  pools.max_pools = options.pools;
  pools.min_pools = options.pools;
  pools.log = [&progress](const leasepool::LogRecord& record) {
    if (record.level >= leasepool::LogLevel::warning) progress.note(record.text);
  };
  leasepool::Loop loop;
  leasepool::SignalSet signals(loop, {SIGINT, SIGTERM});
  leasepool::Node node(loop, options.remote, pools);
  loop.block_on(lend(signals, node, options));
}

}  // namespace lpbench
