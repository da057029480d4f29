// DurationBuckets: how many durations were how long, in powers of two of a microsecond.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/clock.hpp"

namespace leasepool::detail {

class DurationBuckets {
 public:
  void record(Duration duration) noexcept {
    const auto nanoseconds = static_cast<std::uint64_t>(std::max(duration, Duration::zero()).count());
    const std::uint64_t microseconds = (nanoseconds + 999) / 1000;
    const auto bits = static_cast<std::size_t>(std::bit_width(std::max<std::uint64_t>(microseconds, 1) - 1));
    ++counts_[std::min(bits, kBuckets - 1)];
    sum_ = nanoseconds > kMax - sum_ ? kMax : sum_ + nanoseconds;
  }

  // (bound, count) of those that are not empty: longer than the half of the bound, up to the bound.
  [[nodiscard]] std::vector<std::pair<Duration, std::uint64_t>> list() const {
    std::vector<std::pair<Duration, std::uint64_t>> buckets;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      if (counts_[i] > 0) buckets.emplace_back(std::chrono::microseconds(std::int64_t{1} << i), counts_[i]);
    }
    return buckets;
  }
  [[nodiscard]] Duration sum() const noexcept { return Duration(static_cast<std::int64_t>(sum_)); }

 private:
  static constexpr std::size_t kBuckets = 54;  // the bound of the last is the last that a Duration can tell
  static constexpr std::uint64_t kMax = static_cast<std::uint64_t>(Duration::max().count());
  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t sum_ = 0;
};

}  // namespace leasepool::detail
