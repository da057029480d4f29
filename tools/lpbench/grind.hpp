// `lpbench grind`: its options, what was measured, and how that is shown.
#pragma once

#include <leasepool/grinder_stats.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "json.hpp"
#include "record.hpp"
#include "run_options.hpp"

namespace lpbench {

struct GrindOptions : RunOptions {
  std::size_t pools = 1;
  std::size_t threshold = 20;
  double max_wait_seconds = 0.01;
  double rate = 1000;  // items a second
};

// The latency is that of the items that arrived in the measured time and succeeded in it or shortly after: from the
// moment for which the arrival was drawn to the callback.
struct GrindReport {
  RunRecord run{};
  std::uint64_t arrived = 0;
  std::vector<std::pair<std::size_t, std::uint64_t>> batch_sizes{};  // of the batches in the measured time
  leasepool::GrinderStats before{};
  leasepool::GrinderStats after{};

  [[nodiscard]] std::uint64_t batches() const;
  // The size that so many of a hundred batches do not exceed.
  [[nodiscard]] std::size_t batch_size_at(double percent) const;
};

GrindReport run_grind(const GrindOptions& options);

// With its newline.
std::string batches_line(const GrindReport& report);
Json to_json(const GrindReport& report);

}  // namespace lpbench
