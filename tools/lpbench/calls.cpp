// `lpbench calls`: keeps a number of calls in flight on one lease, and measures what each takes.
#include "calls.hpp"

#include <fmt/format.h>
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "cpu_time.hpp"
#include "progress.hpp"
#include "units.hpp"

namespace lpbench {

namespace {

using std::chrono::steady_clock;

// A closed loop of calls: each that ends starts the next. Warms up, then measures, then stops the loop.
class CallLoop {
 public:
  CallLoop(leasepool::Loop& loop, CallsReport& report)
      : loop_(&loop), report_(&report), payload_(report.options.payload) {}

  // Calls still in flight at the end are left to the manager's stop: this object outlives it.
  void run(const leasepool::ExecutorLease& lease) {
    lease_ = &lease;
    phase_end_ = loop_->call_after(to_duration(report_->options.warm_up_seconds), [this] { begin_measuring(); });
    show_progress();
    for (std::size_t i = 0; i < report_->options.depth; ++i) submit();
    loop_->run();
    progress_.clear();
  }

 private:
  enum class Phase { warming_up, measuring, ended };

  void submit() {
    const auto begin = steady_clock::now();
    const Work& work = report_->options.work;
    lease_->run_async(work.function, work.microseconds, payload_,
                      [this, begin](const leasepool::Result<std::uint64_t>& result) { ended(result, begin); });
  }

  void ended(const leasepool::Result<std::uint64_t>& result, steady_clock::time_point begin) {
    if (phase_ == Phase::ended) return;
    if (phase_ == Phase::measuring) note(result, begin);
    submit();
  }

  void note(const leasepool::Result<std::uint64_t>& result, steady_clock::time_point begin) {
    if (!result) {
      note_failure(result.error().code().message(), result.error().message());
    } else if (*result != payload_.size()) {
      note_failure("wrong result", fmt::format("{} instead of {}", *result, payload_.size()));
    } else {
      report_->latency.record(steady_clock::now() - begin);
    }
  }

  void note_failure(const std::string& kind, const std::string& message) {
    FailureKind& failure = report_->failures[kind];
    if (failure.count++ == 0) failure.first_message = message;
  }

  void begin_measuring() {
    processes_ = descendants();
    cpu_here_ = own_cpu_time();
    cpu_in_workers_ = cpu_time_of(processes_);
    begin_ = steady_clock::now();
    phase_ = Phase::measuring;
    phase_end_ = loop_->call_after(to_duration(report_->options.seconds), [this] { end_measuring(); });
  }

  void end_measuring() {
    report_->elapsed = steady_clock::now() - begin_;
    report_->cpu_here = own_cpu_time() - cpu_here_;
    report_->cpu_in_workers = cpu_time_of(processes_) - cpu_in_workers_;
    phase_ = Phase::ended;
    loop_->stop();
  }

  void show_progress() {
    if (progress_.due() && phase_ == Phase::measuring) {
      const leasepool::Duration elapsed = steady_clock::now() - begin_;
      const double per_second = static_cast<double>(report_->latency.count()) / seconds(elapsed);
      progress_.show(fmt::format("calls: {:.1f} of {:.1f} s, {} calls/s, p50 {}, {} failed", seconds(elapsed),
                                 report_->options.seconds, grouped(per_second), human(report_->latency.percentile(50)),
                                 report_->failure_count()));
    } else if (progress_.due()) {
      progress_.show("calls: warming up");
    }
    progress_timer_ = loop_->call_after(std::chrono::milliseconds(100), [this] { show_progress(); });
  }

  leasepool::Loop* loop_;
  CallsReport* report_;
  const leasepool::ExecutorLease* lease_ = nullptr;
  std::vector<std::uint8_t> payload_;
  Progress progress_{std::chrono::seconds(5)};
  Phase phase_ = Phase::warming_up;
  leasepool::Timer phase_end_;
  leasepool::Timer progress_timer_;
  steady_clock::time_point begin_;
  std::vector<pid_t> processes_;
  leasepool::Duration cpu_here_{};
  leasepool::Duration cpu_in_workers_{};
};

leasepool::ManagerOptions manager_options(const CallsOptions& options) {
  leasepool::ManagerOptions manager;
  manager.backend = options.backend;
  manager.max_pools = 1;
  manager.workers_per_pool = options.workers;
  manager.name_prefix = "lpbench";
  manager.max_payload = kMostPayload + 64;  // the payload, its length and the microseconds
  return manager;
}

leasepool::Task<leasepool::ExecutorLease> start_and_acquire(leasepool::LeasedExecutorManager& manager) {
  co_await manager.start();
  co_return co_await manager.acquire({.owner = "lpbench calls", .lease_duration = leasepool::Duration::max()});
}

// Calls that still wait are cancelled. One that runs gets ten seconds.
leasepool::Task<> stop(leasepool::LeasedExecutorManager& manager) { co_await manager.stop(); }

}  // namespace

CallsReport run_calls(const CallsOptions& options) {
  CallsReport report{.options = options};
  if (report.options.depth == 0) report.options.depth = 4 * options.workers;
  leasepool::Loop loop;
  CallLoop calls(loop, report);
  leasepool::LeasedExecutorManager manager(loop, manager_options(options));
  const leasepool::ExecutorLease lease = loop.block_on(start_and_acquire(manager));
  calls.run(lease);
  loop.block_on(stop(manager));
  return report;
}

}  // namespace lpbench
