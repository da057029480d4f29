// The buckets of Histogram. The layout is HdrHistogram's (https://github.com/HdrHistogram/HdrHistogram) with two
// significant digits: the top bits of a value choose the bucket, the bits below them are forgotten.
#include "leasepool/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace leasepool {

namespace {

constexpr std::size_t kKeptBits = 8;  // of each value, the leading one included
constexpr std::size_t kBucketsPerOctave = std::size_t{1} << (kKeptBits - 1);

// Values under 2^kKeptBits are their own bucket; from there on each octave has kBucketsPerOctave.
std::size_t bucket_of(std::uint64_t value) noexcept {
  const auto bits = static_cast<std::size_t>(std::bit_width(value));
  const std::size_t forgotten_bits = bits <= kKeptBits ? 0 : bits - kKeptBits;
  return forgotten_bits * kBucketsPerOctave + (value >> forgotten_bits);
}

// The largest value that falls into a bucket.
std::uint64_t largest_in(std::size_t bucket) noexcept {
  const std::size_t forgotten_bits = bucket < 2 * kBucketsPerOctave ? 0 : bucket / kBucketsPerOctave - 1;
  const std::uint64_t kept = bucket - forgotten_bits * kBucketsPerOctave;
  return ((kept + 1) << forgotten_bits) - 1;
}

}  // namespace

void Histogram::record(Duration value) noexcept {
  const Duration kept = std::clamp(value, Duration::zero(), kMax);
  ++counts_[bucket_of(static_cast<std::uint64_t>(kept.count()))];
  ++count_;
  sum_ += static_cast<double>(kept.count());
  min_ = std::min(min_, kept);
  max_ = std::max(max_, kept);
}

void Histogram::merge(const Histogram& other) noexcept {
  for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) counts_[bucket] += other.counts_[bucket];
  count_ += other.count_;
  sum_ += other.sum_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
}

void Histogram::reset() { *this = Histogram(); }

Duration Histogram::mean() const noexcept {
  return count_ == 0 ? Duration::zero() : Duration(std::llround(sum_ / static_cast<double>(count_)));
}

Duration Histogram::sum() const noexcept {
  constexpr auto kMost = static_cast<double>(Duration::max().count());
  return sum_ >= kMost ? Duration::max() : Duration(std::llround(sum_));
}

std::vector<DurationBucket> Histogram::octaves() const {
  std::vector<DurationBucket> octaves;
  if (count_ == 0) return octaves;
  const auto bucket_in_use = [](Duration value) { return bucket_of(static_cast<std::uint64_t>(value.count())); };
  for (std::size_t bucket = bucket_in_use(min_); bucket <= bucket_in_use(max_); ++bucket) {
    if (counts_[bucket] == 0) continue;
    const Duration below(std::int64_t{1} << std::bit_width(largest_in(bucket)));
    if (octaves.empty() || octaves.back().below != below) octaves.push_back({.below = below});
    octaves.back().count += counts_[bucket];
  }
  return octaves;
}

Duration Histogram::percentile(double percent) const noexcept {
  if (!(percent > 0)) return min();  // NaN too
  if (percent >= 100 || count_ == 0) return max();
  // One step down, or a product such as 99.9 * 1000 that is rounded up would ask for one value too many.
  const double wanted = std::ceil(std::nextafter(percent, 0.0) * static_cast<double>(count_) / 100);
  const auto rank = static_cast<std::uint64_t>(std::max(wanted, 1.0));
  std::uint64_t seen = 0;
  for (std::size_t bucket = bucket_of(static_cast<std::uint64_t>(min_.count())); bucket < kBuckets; ++bucket) {
    seen += counts_[bucket];
    if (seen >= rank) return std::min(Duration(static_cast<std::int64_t>(largest_in(bucket))), max_);
  }
  return max_;  // not reached: min() and max() are in their buckets
}

}  // namespace leasepool
