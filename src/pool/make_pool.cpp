// Chooses the pools for a backend.
#include "base/check.hpp"
#include "loop/loop_core.hpp"
#include "pool/pool.hpp"
#include "pool/pool_source.hpp"
#include "processes/process_pool.hpp"
#include "threads/thread_pool.hpp"

namespace leasepool::detail {

std::shared_ptr<Pool> make_pool(LoopCore& loop, ExecutorBackend backend, PoolOptions options) {
  switch (backend) {
    case ExecutorBackend::thread: return std::make_shared<ThreadPool>(loop, std::move(options));
    case ExecutorBackend::process: return std::make_shared<ProcessPool>(loop, std::move(options));
    case ExecutorBackend::remote: break;
  }
  invariant_failed("pools of this machine are of threads or processes", std::source_location::current());
}

std::shared_ptr<PoolSource> make_pool_source(const std::shared_ptr<LoopCore>& loop, const ManagerOptions& options) {
  if (VirtualTime* const time = loop->virtual_time()) {
    // Only a simulation has one. NOLINTNEXTLINE(cppcoreguidelines-pro-type-static-cast-downcast)
    return std::make_shared<LocalPools>([&core = *loop, &pools = static_cast<SimulatedPools&>(*time),
                                         backend = options.backend](PoolOptions pool_options) {
      return pools.make_pool(core, backend, std::move(pool_options));
    });
  }
  if (options.backend == ExecutorBackend::remote) return make_remote_pools(loop, options);
  return std::make_shared<LocalPools>([&core = *loop, backend = options.backend](PoolOptions pool_options) {
    return make_pool(core, backend, std::move(pool_options));
  });
}

}  // namespace leasepool::detail
