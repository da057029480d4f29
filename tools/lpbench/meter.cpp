// The phases of a run, its live line, and what is left of it.
#include "meter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "units.hpp"

namespace lpbench {

namespace {

using leasepool::Duration;
using std::chrono::steady_clock;

// A tenth of a second, or longer where that would make more of them than a plot can show.
Duration interval_for(double seconds) {
  constexpr double kMaxIntervals = 600;
  return std::max<Duration>(std::chrono::milliseconds(100), to_duration(seconds / kMaxIntervals));
}

// A last one of less than half the length goes to the one before it: its rate would be noise.
std::size_t interval_count(double seconds, Duration interval) {
  return static_cast<std::size_t>(std::max(1.0, std::round(seconds / lpbench::seconds(interval))));
}

Latency summary(const leasepool::Histogram& latency) {
  return {.min = latency.min(),
          .mean = latency.mean(),
          .p50 = latency.percentile(50),
          .p90 = latency.percentile(90),
          .p99 = latency.percentile(99),
          .p99_9 = latency.percentile(99.9),
          .p99_99 = latency.percentile(99.99),
          .max = latency.max()};
}

// As dense where only few are slower as where most are: twenty points from each nine to the next.
std::vector<CurvePoint> curve_of(const leasepool::Histogram& latency) {
  constexpr double kPointsPerNine = 20;
  std::vector<CurvePoint> curve;
  const double last = std::log10(static_cast<double>(std::max<std::uint64_t>(latency.count(), 1)));
  for (double step = 0; step / kPointsPerNine <= last; ++step) {
    const double percent = 100 * (1 - std::pow(10, -step / kPointsPerNine));
    curve.push_back({.percent = percent, .latency = latency.percentile(percent)});
  }
  return curve;
}

CpuTime shared_out(const CpuTime& time, std::uint64_t count) {
  const auto parts = static_cast<std::int64_t>(std::max<std::uint64_t>(count, 1));
  return {.user = time.user / parts, .system = time.system / parts};
}

}  // namespace

Meter::Meter(leasepool::Loop& loop, std::string command, const RunOptions& options)
    : loop_(&loop),
      command_(std::move(command)),
      options_(options),
      interval_(interval_for(options.seconds)),
      per_interval_(interval_count(options.seconds, interval_)),
      progress_(options.progress ? std::chrono::seconds(1) : std::chrono::seconds(0)) {}

void Meter::start(std::function<void()> begin, std::function<void()> end) {
  on_begin_ = std::move(begin);
  on_end_ = std::move(end);
  phase_end_ = loop_->call_after(to_duration(options_.warm_up_seconds), [this] { begin_measuring(); });
  show_progress();
}

void Meter::begin_measuring() {
  begun_ = begin_record(command_, options_);
  cpu_before_ = cpu_time_of_descendants();
  cpu_here_ = own_cpu_time();
  begin_ = shown_at_ = steady_clock::now();
  measuring_ = true;
  phase_end_ = loop_->call_after(to_duration(options_.seconds), [this] { end_measuring(); });
  show_progress_later();
  on_begin_();
}

void Meter::end_measuring() {
  elapsed_ = steady_clock::now() - begin_;
  cpu_here_ = used(cpu_here_, own_cpu_time());
  cpu_workers_ = used(cpu_before_, cpu_time_of_descendants());
  measuring_ = false;
  over_ = true;
  progress_timer_ = {};
  progress_.clear();
  on_end_();
}

void Meter::failed(const std::string& kind, const std::string& message) {
  Failure& failure = failures_[kind];
  if (failure.count++ == 0) failure.first_message = message;
}

std::uint64_t Meter::failure_count() const {
  std::uint64_t count = 0;
  for (const auto& [kind, failure] : failures_) count += failure.count;
  return count;
}

void Meter::show_progress() {
  if (!progress_.wanted()) return;
  progress_.show(live_line());
  show_progress_later();
}

void Meter::show_progress_later() {
  if (!progress_.wanted()) return;
  progress_timer_ = loop_->call_after(progress_.interval(), [this] { show_progress(); });
}

// The rate is that since the line before; the percentile is that of all so far.
std::string Meter::live_line() {
  const std::string who = fmt::format("{}{} {}", options_.which, backend_name(options_.backend), command_);
  if (!measuring_) return who + ": warming up";
  const auto now = steady_clock::now();
  const double per_second = static_cast<double>(ended_ - shown_ended_) / std::max(seconds(now - shown_at_), 1e-3);
  shown_at_ = now;
  shown_ended_ = ended_;
  return fmt::format("{}: {:.1f} of {:.1f} s, {} {}/s, p99 {}, {} failed", who, seconds(now - begin_), options_.seconds,
                     grouped(per_second), command_ == "grind" ? "items" : "calls", human(latency_.percentile(99)),
                     grouped(failure_count()));
}

RunRecord Meter::record() const {
  RunRecord record = begun_;
  record.elapsed = seconds(elapsed_);
  record.succeeded = latency_.count();
  record.per_second = static_cast<double>(ended_) / record.elapsed;
  record.interval = seconds(interval_);
  record.per_interval = per_interval_;
  record.latency = summary(latency_);
  record.curve = curve_of(latency_);
  const std::uint64_t count = ended_ + failure_count();
  record.cpu = {.here = shared_out(cpu_here_, count), .workers = shared_out(cpu_workers_, count)};
  for (const auto& [kind, failure] : failures_) {
    record.failures.push_back({.kind = kind, .count = failure.count, .first_message = failure.first_message});
  }
  return record;
}

}  // namespace lpbench
