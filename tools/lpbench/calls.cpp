// `lpbench calls`: keeps a number of calls in flight on one lease, and measures what each takes.
#include "calls.hpp"

#include <fmt/format.h>
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "interruption.hpp"
#include "meter.hpp"

namespace lpbench {

namespace {

using std::chrono::steady_clock;

// A closed loop of calls: each that ends starts the next. Warms up, then measures, then stops the loop.
class CallLoop {
 public:
  CallLoop(leasepool::Loop& loop, const CallsOptions& options)
      : loop_(&loop), options_(&options), payload_(options.payload), meter_(loop, "calls", options) {}

  // Calls still in flight at the end are left to the manager's stop: this object outlives it.
  void run(const leasepool::ExecutorLease& lease) {
    lease_ = &lease;
    meter_.start([] {}, [this] { loop_->stop(); });
    for (std::size_t i = 0; i < options_->depth; ++i) submit();
    loop_->run();
  }

  [[nodiscard]] RunRecord record() const {
    RunRecord record = meter_.record();
    record.settings.push_back({"depth", std::uint64_t{options_->depth}});
    record.settings.push_back({"payload_bytes", std::uint64_t{options_->payload}});
    record.settings.push_back({"work", options_->work.text});
    return record;
  }

 private:
  void submit() {
    const auto begin = steady_clock::now();
    const Work& work = options_->work;
    lease_->run_async(work.function, work.microseconds, payload_,
                      [this, begin](const leasepool::Result<std::uint64_t>& result) { ended(result, begin); });
  }

  void ended(const leasepool::Result<std::uint64_t>& result, steady_clock::time_point begin) {
    if (meter_.over()) return;
    if (meter_.measuring()) note(result, begin);
    submit();
  }

  void note(const leasepool::Result<std::uint64_t>& result, steady_clock::time_point begin) {
    if (!result) {
      meter_.failed(result.error().code().message(), result.error().message());
    } else if (*result != payload_.size()) {
      meter_.failed("wrong result", fmt::format("{} instead of {}", *result, payload_.size()));
    } else {
      const auto now = steady_clock::now();
      meter_.ended(now);
      meter_.took(now - begin);
    }
  }

  leasepool::Loop* loop_;
  const CallsOptions* options_;
  const leasepool::ExecutorLease* lease_ = nullptr;
  std::vector<std::uint8_t> payload_;
  Meter meter_;
};

leasepool::Task<leasepool::ExecutorLease> start_and_acquire(leasepool::LeasedExecutorManager& manager,
                                                            const CallsOptions& options) {
  co_await manager.start();
  co_return co_await manager.acquire(
      {.owner = "lpbench calls", .lease_duration = leasepool::Duration::max(), .timeout = acquire_timeout(options)});
}

// Calls that still wait are cancelled. One that runs gets ten seconds.
leasepool::Task<> stop(leasepool::LeasedExecutorManager& manager) { co_await manager.stop(); }

}  // namespace

RunRecord run_calls(CallsOptions options) {
  if (options.depth == 0) options.depth = 4 * options.workers;
  leasepool::Loop loop;
  const Interruption interruption(loop);
  CallLoop calls(loop, options);
  leasepool::ManagerOptions manager_settings = manager_options(options);
  manager_settings.max_pools = 1;
  leasepool::LeasedExecutorManager manager(loop, manager_settings);
  const leasepool::ExecutorLease lease = loop.block_on(start_and_acquire(manager, options));
  calls.run(lease);
  loop.block_on(stop(manager));
  return calls.record();
}

}  // namespace lpbench
