// A histogram in short, as stats show it.
#pragma once

#include "leasepool/histogram.hpp"
#include "leasepool/stats.hpp"

namespace leasepool::detail {

inline DurationSummary summary_of(const Histogram& histogram) {
  return {.count = histogram.count(),
          .p50 = histogram.percentile(50),
          .p99 = histogram.percentile(99),
          .max = histogram.max(),
          .sum = histogram.sum(),
          .buckets = histogram.octaves()};
}

}  // namespace leasepool::detail
