// `lpbench grind`: items arrive at random moments, whether or not the grinder keeps up, and each is measured to its
// end.
#include "grind.hpp"

#include <leasepool/leasepool.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <string>

#include "interruption.hpp"
#include "meter.hpp"
#include "units.hpp"

namespace lpbench {

namespace {

using std::chrono::steady_clock;

// Arrivals of a Poisson process. Latency counts from the drawn moment, so an arrival that this thread is late for does
// not look better than it was.
class ArrivalLoop {
 public:
  ArrivalLoop(leasepool::Loop& loop, leasepool::WorkGrinder& grinder, const GrindOptions& options, GrindReport& report)
      : loop_(&loop),
        grinder_(&grinder),
        options_(&options),
        report_(&report),
        payload_(options.payload),
        gap_(options.rate),
        meter_(loop, "grind", options) {}

  void run() {
    next_ = steady_clock::now();
    meter_.start([this] { report_->before = grinder_->stats(); }, [this] { drain(); });
    arrive();
    loop_->run();
    report_->run = record();
  }

 private:
  void arrive() {
    constexpr int kAtOnce = 256;  // results are to come through, too
    for (int i = 0; i < kAtOnce && next_ <= steady_clock::now(); ++i) {
      submit(next_);
      next_ += to_duration(gap_(random_));
    }
    if (meter_.over()) return;
    arrival_ =
        loop_->call_after(std::max(next_ - steady_clock::now(), leasepool::Duration::zero()), [this] { arrive(); });
  }

  void submit(steady_clock::time_point arrived) {
    const bool counts = meter_.measuring();
    report_->arrived += counts ? 1 : 0;
    open_ += counts ? 1 : 0;
    const Work& work = options_->work;
    grinder_->submit_async(work.function, work.microseconds, payload_,
                           [this, arrived, counts](const leasepool::Result<std::uint64_t>& result) {
                             const auto now = steady_clock::now();
                             if (result && meter_.measuring()) meter_.ended(now);
                             if (counts) ended(result, now - arrived);
                           });
  }

  void ended(const leasepool::Result<std::uint64_t>& result, leasepool::Duration latency) {
    if (!result) {
      meter_.failed(result.error().code().message(), result.error().message());
    } else {
      meter_.took(latency);
    }
    if (--open_ == 0 && meter_.over()) loop_->stop();
  }

  void drain() {
    report_->after = grinder_->stats();
    if (open_ == 0) return loop_->stop();
    // What has arrived is measured to its end, unless that is far away: then the grinder does not keep up at all.
    give_up_ = loop_->call_after(std::chrono::seconds(10), [this] { loop_->stop(); });
  }

  [[nodiscard]] RunRecord record() const {
    RunRecord record = meter_.record();
    record.settings.insert(record.settings.begin() + 1, {"pools", std::uint64_t{options_->pools}});
    record.settings.push_back({"threshold", std::uint64_t{options_->threshold}});
    record.settings.push_back({"max_wait_s", options_->max_wait_seconds});
    record.settings.push_back({"rate", options_->rate});
    record.settings.push_back({"payload_bytes", std::uint64_t{options_->payload}});
    record.settings.push_back({"work", options_->work.text});
    return record;
  }

  leasepool::Loop* loop_;
  leasepool::WorkGrinder* grinder_;
  const GrindOptions* options_;
  GrindReport* report_;
  std::vector<std::uint8_t> payload_;
  std::mt19937_64 random_{20250103};  // NOLINT(cert-msc51-cpp): the same arrivals each time
  std::exponential_distribution<double> gap_;
  std::uint64_t open_ = 0;  // items that count and have not ended
  steady_clock::time_point next_;
  leasepool::Timer arrival_;
  leasepool::Timer give_up_;
  Meter meter_;
};

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
  GrindReport report;
  leasepool::Loop loop;
  const Interruption interruption(loop);
  leasepool::ManagerOptions manager_settings = manager_options(options);
  manager_settings.max_pools = options.pools;
  manager_settings.min_pools = options.pools;
  leasepool::LeasedExecutorManager manager(loop, manager_settings);
  leasepool::WorkGrinder grinder(manager, grinder_options(options));
  ArrivalLoop arrivals(loop, grinder, options, report);
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
