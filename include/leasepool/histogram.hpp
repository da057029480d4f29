// Histogram: how durations are distributed, in fixed memory and with a bounded relative error.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <cstdint>
#include <vector>

#include "leasepool/detail/export.hpp"
#include "leasepool/duration.hpp"

namespace leasepool {

/// So many durations were shorter than `below` and not shorter than half of it.
struct DurationBucket {
  Duration below{};
  std::uint64_t count = 0;

  bool operator==(const DurationBucket&) const = default;
};

/// Counts durations in log-linear buckets, as HdrHistogram does (http://hdrhistogram.org): below 256 ns a bucket is
/// 1 ns wide, above that each power of two is cut into 128 buckets. What it reports is at most 1/128 (0.8 %) above
/// what was recorded, and never below. Takes about 38 KiB whatever is recorded. One thread at a time. A moved-from
/// histogram may only be destroyed, assigned to or reset.
class LEASEPOOL_EXPORT Histogram {
 public:
  /// The longest duration that is told apart, 4.9 hours; longer ones count as this one, negative ones as zero.
  static constexpr Duration kMax{(std::int64_t{1} << 44) - 1};

  void record(Duration value) noexcept;

  /// Adds what another histogram has counted.
  void merge(const Histogram& other) noexcept;

  /// Forgets everything.
  void reset();

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

  /// The exact extremes and the mean of what was recorded; zero when nothing was.
  [[nodiscard]] Duration min() const noexcept { return count_ == 0 ? Duration::zero() : min_; }
  [[nodiscard]] Duration max() const noexcept { return max_; }
  [[nodiscard]] Duration mean() const noexcept;
  /// Of what was recorded, as kMax at most each; Duration::max() where it is more than that can tell.
  [[nodiscard]] Duration sum() const noexcept;

  /// The smallest duration that `percent` per cent of all recorded ones do not exceed (nearest rank): min() for 0 and
  /// below, max() for 100 and above, zero when nothing was recorded.
  [[nodiscard]] Duration percentile(double percent) const noexcept;

  /// All that was recorded in buckets of an octave each, whose bounds are powers of two of a nanosecond; without those
  /// that are empty, the shortest first. Throws std::bad_alloc.
  [[nodiscard]] std::vector<DurationBucket> octaves() const;

 private:
  static constexpr std::size_t kBuckets = 4864;

  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(kBuckets);
  std::uint64_t count_ = 0;
  double sum_ = 0;  // nanoseconds
  Duration min_ = Duration::max();
  Duration max_ = Duration::zero();
};

}  // namespace leasepool

#endif
