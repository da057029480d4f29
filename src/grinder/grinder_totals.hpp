// What a grinder counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "leasepool/histogram.hpp"

namespace leasepool::detail {

struct GrinderTotals {
  std::uint64_t submitted = 0;
  std::uint64_t refused = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t flushed_by_size = 0;
  std::uint64_t flushed_by_age = 0;
  std::uint64_t flushed_by_stop = 0;
  std::uint64_t without_lease = 0;
  std::uint64_t split = 0;
  std::uint64_t put_back = 0;
  std::size_t in_flight = 0;
  std::map<std::size_t, std::uint64_t> batch_sizes;
  Histogram wait;
  Histogram total;
};

}  // namespace leasepool::detail
