// leasepool itself, through its public callbacks alone: a lease on a pool of two threads, of two worker processes, or
// of those of a node through a NATS server (the build says which). For "grinder", a WorkGrinder on two pools of one
// worker, so that its batches overlap.
#include <sys/prctl.h>
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "scenario.hpp"
#if LEASEPOOL_PEER_NODE
#include "node_process.hpp"
#endif

LEASEPOOL_REGISTER(peers::nothing);

namespace {

using leasepool::ExecutorBackend;
using peers::Alarm;

constexpr ExecutorBackend kBackend = ExecutorBackend::LEASEPOOL_PEER_BACKEND;

class Leasepool {
 public:
  static constexpr const char* kName = kBackend == ExecutorBackend::thread    ? "leasepool-threads"
                                       : kBackend == ExecutorBackend::process ? "leasepool-processes"
                                                                              : "leasepool-remote";
  static constexpr bool kHasGrinder = true;
  static std::string version() { return LEASEPOOL_PEER_VERSION; }

  Leasepool(peers::Caller& caller, const peers::Scenario& scenario)
      : caller_(caller), manager_(loop_, manager_options(grinds(scenario))) {
    if (grinds(scenario)) {
      // The age limit matters at the very end alone, where what is left is no whole batch.
      grinder_.emplace(
          manager_, leasepool::GrinderOptions{.batch_size_threshold = 64, .max_wait = std::chrono::milliseconds(20)});
    }
    loop_.block_on(begin());
  }
  Leasepool(const Leasepool&) = delete;
  Leasepool& operator=(const Leasepool&) = delete;
  ~Leasepool() { loop_.block_on(end()); }

  void call(std::size_t slot, std::uint64_t argument) {
    auto done = [this, slot](const leasepool::Result<std::uint64_t>& result) {
      if (!result) peers::fail(result.error().message());
      caller_.ended(slot, *result);
    };
    if (grinder_) {
      grinder_->submit_async(peers::nothing, argument, done);
    } else {
      lease_.run_async(peers::nothing, argument, done);
    }
  }

  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) {
    alarms_[static_cast<std::size_t>(alarm)] = loop_.call_after(delay, [this, alarm] { caller_.rang(alarm); });
  }

  void run() { loop_.run(); }
  void stop() { loop_.stop(); }

 private:
  static bool grinds(const peers::Scenario& scenario) { return scenario.name == "grinder"; }

  leasepool::ManagerOptions manager_options(bool grinder) {
    leasepool::ManagerOptions options;
    options.backend = kBackend;
    options.max_pools = options.min_pools = grinder ? peers::kWorkers : 1;
    options.workers_per_pool = peers::kWorkers / options.max_pools;
    options.name_prefix = "peer";
#if LEASEPOOL_PEER_NODE
    options.remote.servers = node_.servers();
#endif
    return options;
  }

  leasepool::Task<> begin() {
    co_await manager_.start();
    if (grinder_) {
      co_await grinder_->start();
    } else {
      lease_ = co_await manager_.acquire({.lease_duration = leasepool::Duration::max()});
    }
  }

  leasepool::Task<> end() {
    if (grinder_) co_await grinder_->stop();
    lease_.release();
    co_await manager_.stop();
  }

  peers::Caller& caller_;
#if LEASEPOOL_PEER_NODE
  peers::NodeProcess node_;
#endif
  leasepool::Loop loop_;
  leasepool::LeasedExecutorManager manager_;
  std::optional<leasepool::WorkGrinder> grinder_;
  leasepool::ExecutorLease lease_;
  leasepool::Timer alarms_[peers::kAlarms];
};

}  // namespace

int main(int count, char** arguments) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0,
          0);  // the workers' time is to count, too: their servers come to this process
  if (kBackend == ExecutorBackend::process) leasepool::init();
  return peers::run_peer<Leasepool>(count, arguments);
}
