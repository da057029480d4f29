// Measures one run: its warm-up and measured time, what ends in them, the CPU time that it takes, and its live line.
#pragma once

#include <leasepool/duration.hpp>
#include <leasepool/histogram.hpp>
#include <leasepool/loop.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cpu_time.hpp"
#include "progress.hpp"
#include "record.hpp"
#include "run_options.hpp"

namespace lpbench {

// Destroyed before the loop.
class Meter {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  Meter(leasepool::Loop& loop, std::string command, const RunOptions& options);
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

  // Starts the warm-up. `begin` and `end` are called as the measured time does.
  void start(std::function<void()> begin, std::function<void()> end);

  [[nodiscard]] bool measuring() const { return measuring_; }
  [[nodiscard]] bool over() const { return over_; }

  // One that counts as throughput: measured time only.
  void ended(TimePoint now) {
    const auto interval = static_cast<std::size_t>((now - begin_) / interval_);
    ++per_interval_[std::min(interval, per_interval_.size() - 1)];
    ++ended_;
  }

  // One that counts as latency.
  void took(leasepool::Duration latency) { latency_.record(latency); }

  void failed(const std::string& kind, const std::string& message);

  // All that was measured. The settings are the backend and the workers.
  [[nodiscard]] RunRecord record() const;

 private:
  struct Failure {
    std::uint64_t count = 0;
    std::string first_message;
  };

  void begin_measuring();
  void end_measuring();
  void show_progress();
  void show_progress_later();
  [[nodiscard]] std::string live_line();
  [[nodiscard]] std::uint64_t failure_count() const;

  leasepool::Loop* loop_;
  std::string command_;
  RunOptions options_;
  std::function<void()> on_begin_;
  std::function<void()> on_end_;
  bool measuring_ = false;
  bool over_ = false;
  RunRecord begun_;
  TimePoint begin_;
  leasepool::Duration elapsed_{};
  leasepool::Duration interval_;
  std::vector<std::uint64_t> per_interval_;
  std::uint64_t ended_ = 0;
  leasepool::Histogram latency_;
  std::map<std::string, Failure> failures_;
  CpuTime cpu_here_{};
  CpuTimes cpu_before_{};
  CpuTime cpu_workers_{};
  Progress progress_;
  TimePoint shown_at_;
  std::uint64_t shown_ended_ = 0;
  leasepool::Timer phase_end_;
  leasepool::Timer progress_timer_;
};

}  // namespace lpbench
