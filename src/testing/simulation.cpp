// Simulation: simulated pools on a loop with a time of its own.
#include <algorithm>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "base/worker_values.hpp"
#include "lease/manager_core.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/descriptors.hpp"
#include "leasepool/testing.hpp"
#include "loop/loop_core.hpp"
#include "loop/make_engine.hpp"
#include "pool/pool_source.hpp"
#include "testing/simulated_pool.hpp"

namespace leasepool {

namespace detail {

namespace {

// Runs initializers, and refuses what a process pool would refuse.
class PoolOfSimulation final : public SimulatedPool<> {
 public:
  PoolOfSimulation(LoopCore& loop, SimulatedWorld<>& world, ExecutorBackend backend, PoolOptions options)
      : SimulatedPool(loop, world, options.workers, backend != ExecutorBackend::thread), options_(std::move(options)) {}

 protected:
  Result<void> initialize() override {
    options_.totals->workers_started += options_.workers;
    if (!options_.initializer) return {};
    const auto job = Access::make_job(options_.initializer);
    std::optional<Error> failed = refusal(*job);
    if (!failed) {
      run(*job);
      if (job->error() != nullptr) failed = *job->error();
    }
    if (!failed) return {};
    return failure(Errc::pool_broken, options_.name + ": a worker could not be initialized: " +
                                          std::string(job->function_name()) + " failed: " + failed->message());
  }

  std::optional<Error> refusal(const Job& job) const override {
    if (!kills()) return std::nullopt;
    Bytes bytes;
    Descriptors descriptors;
    const auto id = job.encode(bytes, descriptors, options_.max_payload);
    return id ? std::nullopt : std::optional(Access::not_run(id.error()));
  }

  void run(Job& job) override {
    const WorkerValues::OnThisThread here(values_);
    job.run();
  }

 private:
  const PoolOptions options_;
  WorkerValues values_;
};

class PoolsOfSimulation final : public SimulatedPools {
 public:
  PoolsOfSimulation() {
    world.next_run_time = [this] { return call_duration; };
    world.next_start_delay = [this] { return start_duration; };
    world.next_start_fails = [this] { return refuses; };
  }

  std::shared_ptr<Pool> make_pool(LoopCore& loop, ExecutorBackend backend, PoolOptions options) override {
    std::erase_if(world.pools, [](const auto& pool) { return pool.expired(); });
    auto pool = std::make_shared<PoolOfSimulation>(loop, world, backend, std::move(options));
    world.pools.push_back(pool);
    return pool;
  }

  // Of each pool that there is, the oldest first, until one says true.
  template <class Visit>
  bool any_pool(const Visit& visit) const {
    const auto pools = world.pools;  // what is visited may add some
    return std::ranges::any_of(pools, [&](const auto& weak) {
      const auto pool = weak.lock();
      return pool && visit(*pool);
    });
  }

  SimulatedWorld<> world;
  Duration call_duration{};
  Duration start_duration{};
  bool refuses = false;
};

}  // namespace

}  // namespace detail

namespace testing {

struct Simulation::Parts {
  std::shared_ptr<detail::PoolsOfSimulation> pools = std::make_shared<detail::PoolsOfSimulation>();
  std::shared_ptr<detail::LoopCore> core =
      std::make_shared<detail::LoopCore>(detail::make_engine(LoopEngine::automatic), pools);
  Loop loop = detail::Access::make<Loop>(core);
};

Simulation::Simulation() : parts_(std::make_unique<Parts>()) {}
Simulation::~Simulation() {
  const std::shared_ptr<detail::PoolsOfSimulation> pools = parts_->pools;
  parts_.reset();  // the loop ends; calls that simulated threads were still in hold their pools
  pools->any_pool([](auto& pool) {
    pool.forget_running();
    return false;
  });
}

Loop& Simulation::loop() noexcept { return parts_->loop; }
TimePoint Simulation::now() const noexcept { return parts_->pools->now; }

void Simulation::advance(TimeSpan by) { parts_->core->advance(by); }

void Simulation::set_call_duration(TimeSpan duration) noexcept { parts_->pools->call_duration = duration; }
void Simulation::set_start_duration(TimeSpan duration) noexcept { parts_->pools->start_duration = duration; }
void Simulation::refuse_pools(bool refuses) noexcept { parts_->pools->refuses = refuses; }

std::size_t Simulation::running_calls() const noexcept {
  std::size_t count = 0;
  parts_->pools->any_pool([&](const auto& pool) {
    count += pool.running();
    return false;
  });
  return count;
}

std::size_t Simulation::waiting_calls() const noexcept {
  std::size_t count = 0;
  parts_->pools->any_pool([&](const auto& pool) {
    count += pool.waiting();
    return false;
  });
  return count;
}

bool Simulation::finish_call() {
  return parts_->pools->any_pool([](auto& pool) { return pool.finish_first(); });
}

bool Simulation::crash_worker() {
  return parts_->pools->any_pool([](auto& pool) { return pool.crash(); });
}

std::vector<ExecutorLease> Simulation::take_all_pools(LeasedExecutorManager& manager) {
  const auto& core = detail::Access::core(manager);
  std::vector<ExecutorLease> taken;
  for (;;) {
    std::optional<ExecutorLease> lease;
    const detail::AcquireTicket in_queue =
        detail::acquire(core,
                        detail::make_acquire_request(*core, {.owner = "simulation", .lease_duration = Duration::max()},
                                                     std::source_location::current()),
                        [&](Result<ExecutorLease> acquired) {
                          if (acquired) lease = std::move(*acquired);
                        });
    run();
    if (!lease && core->leased() < core->options().max_pools) advance(parts_->pools->start_duration);
    if (!lease) return taken;
    taken.push_back(*std::move(lease));
  }
}

}  // namespace testing

}  // namespace leasepool
