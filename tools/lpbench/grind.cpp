// `lpbench grind`: items arrive at random moments, whether or not the grinder keeps up, and each is measured to its
// end.
#include "grind.hpp"

#include <fmt/format.h>
#include <leasepool/leasepool.hpp>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>

#include "cpu_time.hpp"
#include "progress.hpp"
#include "units.hpp"

namespace lpbench {

namespace {

using std::chrono::steady_clock;

// Arrivals of a Poisson process. Latency counts from the drawn moment, so an arrival that this thread is late for does
// not look better than it was.
class ArrivalLoop {
 public:
  ArrivalLoop(leasepool::Loop& loop, leasepool::WorkGrinder& grinder, GrindReport& report)
      : loop_(&loop),
        grinder_(&grinder),
        report_(&report),
        payload_(report.options.payload),
        gap_(report.options.rate) {}

  void run() {
    next_ = steady_clock::now();
    phase_end_ = loop_->call_after(to_duration(report_->options.warm_up_seconds), [this] { begin_measuring(); });
    show_progress();
    arrive();
    loop_->run();
    progress_.clear();
  }

 private:
  enum class Phase { warming_up, measuring, draining };

  void arrive() {
    constexpr int kAtOnce = 256;  // results are to come through, too
    for (int i = 0; i < kAtOnce && next_ <= steady_clock::now(); ++i) {
      submit(next_);
      next_ += to_duration(gap_(random_));
    }
    if (phase_ == Phase::draining) return;
    arrival_ =
        loop_->call_after(std::max(next_ - steady_clock::now(), leasepool::Duration::zero()), [this] { arrive(); });
  }

  void submit(steady_clock::time_point arrived) {
    const bool counts = phase_ == Phase::measuring;
    report_->arrived += counts ? 1 : 0;
    open_ += counts ? 1 : 0;
    const Work& work = report_->options.work;
    grinder_->submit_async(work.function, work.microseconds, payload_,
                           [this, arrived, counts](const leasepool::Result<std::uint64_t>& result) {
                             if (counts) ended(result, arrived);
                           });
  }

  void ended(const leasepool::Result<std::uint64_t>& result, steady_clock::time_point arrived) {
    if (!result) {
      FailureKind& failure = report_->failures[result.error().code().message()];
      if (failure.count++ == 0) failure.first_message = result.error().message();
    } else {
      report_->latency.record(steady_clock::now() - arrived);
    }
    if (--open_ == 0 && phase_ == Phase::draining) loop_->stop();
  }

  void begin_measuring() {
    processes_ = descendants();
    cpu_here_ = own_cpu_time();
    cpu_in_workers_ = cpu_time_of(processes_);
    report_->before = grinder_->stats();
    begin_ = steady_clock::now();
    phase_ = Phase::measuring;
    phase_end_ = loop_->call_after(to_duration(report_->options.seconds), [this] { end_measuring(); });
  }

  void end_measuring() {
    report_->elapsed = steady_clock::now() - begin_;
    report_->cpu_here = own_cpu_time() - cpu_here_;
    report_->cpu_in_workers = cpu_time_of(processes_) - cpu_in_workers_;
    report_->after = grinder_->stats();
    phase_ = Phase::draining;
    if (open_ == 0) return loop_->stop();
    // What has arrived is measured to its end, unless that is far away: then the grinder does not keep up at all.
    phase_end_ = loop_->call_after(std::chrono::seconds(10), [this] { loop_->stop(); });
  }

  void show_progress() {
    if (progress_.due()) {
      progress_.show(phase_ == Phase::warming_up
                         ? "grind: warming up"
                         : fmt::format("grind: {} items, p50 {}, {} in the grinder", grouped(report_->arrived),
                                       human(report_->latency.percentile(50)), grouped(open_)));
    }
    progress_timer_ = loop_->call_after(std::chrono::milliseconds(100), [this] { show_progress(); });
  }

  leasepool::Loop* loop_;
  leasepool::WorkGrinder* grinder_;
  GrindReport* report_;
  std::vector<std::uint8_t> payload_;
  std::mt19937_64 random_{20250103};  // NOLINT(cert-msc51-cpp): the same arrivals each time
  std::exponential_distribution<double> gap_;
  Progress progress_{std::chrono::seconds(5)};
  Phase phase_ = Phase::warming_up;
  std::uint64_t open_ = 0;  // items that count and have not ended
  steady_clock::time_point next_;
  steady_clock::time_point begin_;
  leasepool::Timer arrival_;
  leasepool::Timer phase_end_;
  leasepool::Timer progress_timer_;
  std::vector<pid_t> processes_;
  leasepool::Duration cpu_here_{};
  leasepool::Duration cpu_in_workers_{};
};

leasepool::ManagerOptions manager_options(const GrindOptions& options) {
  leasepool::ManagerOptions manager;
  manager.backend = options.backend;
  manager.max_pools = options.pools;
  manager.min_pools = options.pools;
  manager.workers_per_pool = options.workers;
  manager.name_prefix = "lpbench";
  manager.max_payload = kMostPayload + 64;
  return manager;
}

leasepool::GrinderOptions grinder_options(const GrindOptions& options) {
  leasepool::GrinderOptions grinder;
  grinder.batch_size_threshold = options.threshold;
  grinder.max_wait = to_duration(options.max_wait_seconds);
  grinder.lease_duration = leasepool::Duration::max();
  return grinder;
}

leasepool::Task<> start(leasepool::LeasedExecutorManager& manager, leasepool::WorkGrinder& grinder) {
  co_await manager.start();
  co_await grinder.start();
}

leasepool::Task<> stop(leasepool::LeasedExecutorManager& manager, leasepool::WorkGrinder& grinder) {
  co_await grinder.stop(true);
  co_await manager.stop();
}

}  // namespace

GrindReport run_grind(const GrindOptions& options) {
  GrindReport report{.options = options};
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(loop, manager_options(options));
  leasepool::WorkGrinder grinder(manager, grinder_options(options));
  ArrivalLoop arrivals(loop, grinder, report);
  loop.block_on(start(manager, grinder));
  arrivals.run();
  loop.block_on(stop(manager, grinder));
  std::map<std::size_t, std::uint64_t> sizes(report.after.batch_sizes.begin(), report.after.batch_sizes.end());
  for (const auto& [size, count] : report.before.batch_sizes) sizes[size] -= count;
  std::erase_if(sizes, [](const auto& size) { return size.second == 0; });
  report.batch_sizes.assign(sizes.begin(), sizes.end());
  return report;
}

}  // namespace lpbench
