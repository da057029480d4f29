// Latencies of many calls in little memory: exact to one part in 128, so that recording costs a call next to nothing.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace peers {

class Latencies {
 public:
  void record(std::chrono::nanoseconds latency) {
    const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(latency.count(), 0));
    ++counts_[bucket_of(value)];
    ++count_;
  }

  void clear() {
    std::ranges::fill(counts_, 0);
    count_ = 0;
  }

  [[nodiscard]] std::uint64_t count() const { return count_; }

  // In nanoseconds: the lower end of the bucket that holds it. 0 without any.
  [[nodiscard]] std::uint64_t percentile(double percent) const {
    auto left = static_cast<std::uint64_t>(static_cast<double>(count_) * percent / 100);
    for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      if (left < counts_[bucket]) return lower_end(bucket);
      left -= counts_[bucket];
    }
    return 0;
  }

 private:
  // Below 2 * kSteps a bucket is one value; above, each doubling is kSteps buckets.
  static constexpr std::uint64_t kSteps = 128;
  static constexpr std::size_t kBuckets = 40 * kSteps;  // the last begins at 140 seconds

  static std::size_t bucket_of(std::uint64_t value) {
    constexpr auto kBitsBelow = static_cast<std::uint64_t>(std::bit_width(kSteps));
    const auto doublings = std::max(static_cast<std::uint64_t>(std::bit_width(value)), kBitsBelow) - kBitsBelow;
    return std::min<std::size_t>(doublings * kSteps + (value >> doublings), kBuckets - 1);
  }
  static std::uint64_t lower_end(std::size_t bucket) {
    if (bucket < 2 * kSteps) return bucket;
    const std::uint64_t doublings = bucket / kSteps - 1;
    return (kSteps + bucket % kSteps) << doublings;
  }

  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(kBuckets);
  std::uint64_t count_ = 0;
};

}  // namespace peers
