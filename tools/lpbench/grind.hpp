// `lpbench grind`: its options, what was measured, and how that is shown.
#pragma once

#include <leasepool/duration.hpp>
#include <leasepool/grinder_stats.hpp>
#include <leasepool/histogram.hpp>
#include <leasepool/options.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "calls.hpp"
#include "cores.hpp"
#include "workloads.hpp"

namespace lpbench {

struct GrindOptions {
  leasepool::ExecutorBackend backend = leasepool::ExecutorBackend::thread;
  std::size_t pools = 1;
  std::size_t workers = core_count();
  std::size_t threshold = 20;
  double max_wait_seconds = 0.01;
  double rate = 1000;  // items a second
  std::size_t payload = 0;
  Work work{};
  double warm_up_seconds = 0.5;
  double seconds = 5;
  bool json = false;
};

// Of the items that arrived in the measured time and ended in it or shortly after.
struct GrindReport {
  GrindOptions options;
  leasepool::Duration elapsed{};
  std::uint64_t arrived = 0;
  leasepool::Histogram latency{};  // from the moment for which the arrival was drawn to the callback
  std::map<std::string, FailureKind> failures{};
  std::vector<std::pair<std::size_t, std::uint64_t>> batch_sizes{};  // of the batches in the measured time
  leasepool::GrinderStats before{};
  leasepool::GrinderStats after{};
  leasepool::Duration cpu_here{};
  leasepool::Duration cpu_in_workers{};

  [[nodiscard]] std::uint64_t failure_count() const;
  [[nodiscard]] double items_per_second() const;
  [[nodiscard]] leasepool::Duration per_item(leasepool::Duration cpu) const;
  [[nodiscard]] std::uint64_t batches() const;
  // The size that so many of a hundred batches do not exceed.
  [[nodiscard]] std::size_t batch_size_at(double percent) const;
};

GrindReport run_grind(const GrindOptions& options);

void print_table(const GrindReport& report);
void print_json(const GrindReport& report);

}  // namespace lpbench
