// Tests of Histogram against exact sorted data, and at the ends of its range.
#include "leasepool/histogram.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "catch.hpp"

using leasepool::Duration;
using leasepool::Histogram;
using namespace std::chrono_literals;

namespace {

constexpr double kPercents[] = {0.001, 0.1, 1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 99.999};

// The nearest rank in sorted data, computed with whole numbers: percent is given in thousandths of a per cent.
Duration exact_percentile(const std::vector<Duration>& sorted, double percent) {
  const auto thousandths = static_cast<std::size_t>(std::llround(percent * 1000));
  const std::size_t rank = (thousandths * sorted.size() + 99'999) / 100'000;
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

// Spread evenly over the orders of magnitude, so that every bucket's width is met.
std::vector<Duration> random_durations(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> exponent(0, std::log(static_cast<double>(Histogram::kMax.count())));
  std::vector<Duration> values;
  values.reserve(count);
  for (std::size_t i = 0; i < count; ++i) values.emplace_back(std::llround(std::exp(exponent(random))));
  return values;
}

Histogram histogram_of(const std::vector<Duration>& values) {
  Histogram histogram;
  for (const Duration value : values) histogram.record(value);
  return histogram;
}

// Never below what was recorded, and at most 1/128 above it.
void check_percentiles(const Histogram& histogram, std::vector<Duration> values) {
  std::ranges::sort(values);
  for (const double percent : kPercents) {
    const Duration exact = exact_percentile(values, percent);
    CAPTURE(percent, values.size());
    CHECK(histogram.percentile(percent) >= exact);
    CHECK(histogram.percentile(percent) <= exact + exact / 128);
  }
}

}  // namespace

TEST_CASE("an empty histogram answers zeros", "[histogram]") {
  const Histogram histogram;
  CHECK(histogram.count() == 0);
  CHECK(histogram.min() == 0ns);
  CHECK(histogram.max() == 0ns);
  CHECK(histogram.mean() == 0ns);
  CHECK(histogram.percentile(0) == 0ns);
  CHECK(histogram.percentile(50) == 0ns);
  CHECK(histogram.percentile(100) == 0ns);
}

TEST_CASE("one value is every percentile", "[histogram]") {
  const Duration value = GENERATE(0ns, 1ns, 255ns, 256ns, 257ns, 123'456'789ns, Duration(3h), Histogram::kMax);
  const Histogram histogram = histogram_of({value});
  CHECK(histogram.count() == 1);
  CHECK(histogram.min() == value);
  CHECK(histogram.max() == value);
  CHECK(histogram.mean() == value);
  for (const double percent : kPercents) CHECK(histogram.percentile(percent) == value);
}

TEST_CASE("negative durations count as zero", "[histogram]") {
  const Histogram histogram = histogram_of({-1ns, Duration::min(), 10ns});
  CHECK(histogram.count() == 3);
  CHECK(histogram.min() == 0ns);
  CHECK(histogram.percentile(66) == 0ns);
  CHECK(histogram.percentile(67) == 10ns);
}

TEST_CASE("durations past the end count as the longest", "[histogram]") {
  const Histogram histogram = histogram_of({1ns, Histogram::kMax + 1ns, Duration::max()});
  CHECK(histogram.max() == Histogram::kMax);
  CHECK(histogram.percentile(50) == Histogram::kMax);
  CHECK(histogram.mean() <= Histogram::kMax);
}

TEST_CASE("values below 256 ns are kept exactly", "[histogram]") {
  Histogram histogram;
  for (int value = 1; value <= 200; ++value) histogram.record(Duration(value));
  for (int percent = 1; percent <= 100; ++percent) CHECK(histogram.percentile(percent) == Duration(2 * percent));
  CHECK(histogram.mean() == 101ns);  // 100.5, rounded
}

TEST_CASE("percentiles 0 and 100 and beyond are the exact extremes", "[histogram]") {
  const Histogram histogram = histogram_of({1'000'003ns, 2'000'003ns, 3'000'003ns});
  CHECK(histogram.percentile(0) == 1'000'003ns);
  CHECK(histogram.percentile(-5) == 1'000'003ns);
  CHECK(histogram.percentile(std::numeric_limits<double>::quiet_NaN()) == 1'000'003ns);
  CHECK(histogram.percentile(100) == 3'000'003ns);
  CHECK(histogram.percentile(1e300) == 3'000'003ns);
}

TEST_CASE("a percentile that falls on a value's edge does not take the next one", "[histogram]") {
  Histogram histogram;  // 99.9 * 41'000 is rounded up
  for (int i = 0; i < 41'000 - 41; ++i) histogram.record(1ns);
  for (int i = 0; i < 41; ++i) histogram.record(200ns);
  CHECK(histogram.percentile(99.9) == 1ns);
  CHECK(histogram.percentile(99.91) == 200ns);
}

TEST_CASE("the smallest percentile is of the first value", "[histogram]") {
  const Histogram histogram = histogram_of({100ns, 200ns});
  CHECK(histogram.percentile(std::numeric_limits<double>::denorm_min()) == 100ns);
}

TEST_CASE("every bucket's edges are within the bound", "[histogram]") {
  for (int bit = 0; bit < 44; ++bit) {
    for (const std::int64_t offset : {-1, 0, 1}) {
      const Duration value((std::int64_t{1} << bit) + offset);
      if (value > Histogram::kMax) continue;
      const Histogram histogram = histogram_of({value, Histogram::kMax});  // a maximum that does not help
      CAPTURE(value.count());
      CHECK(histogram.percentile(50) >= value);
      CHECK(histogram.percentile(50) <= value + value / 128);
    }
  }
}

TEST_CASE("percentiles of random values are within 1/128 of the exact ones", "[histogram]") {
  const auto seed = GENERATE(range(std::uint64_t{1}, std::uint64_t{9}));
  const auto size = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{1000}, std::size_t{100'000});
  CAPTURE(seed);
  const std::vector<Duration> values = random_durations(size, seed);
  const Histogram histogram = histogram_of(values);
  check_percentiles(histogram, values);
  CHECK(histogram.min() == std::ranges::min(values));
  CHECK(histogram.max() == std::ranges::max(values));
  double sum = 0;
  for (const Duration value : values) sum += static_cast<double>(value.count());
  CHECK(std::abs(static_cast<double>(histogram.mean().count()) - sum / static_cast<double>(size)) <= 1);
}

TEST_CASE("merging is recording both", "[histogram]") {
  const std::vector<Duration> first = random_durations(5'000, 11);
  const std::vector<Duration> second = random_durations(3'000, 12);
  std::vector<Duration> both = first;
  both.insert(both.end(), second.begin(), second.end());

  Histogram merged = histogram_of(first);
  merged.merge(histogram_of(second));
  CHECK(merged.count() == both.size());
  CHECK(merged.min() == std::ranges::min(both));
  CHECK(merged.max() == std::ranges::max(both));
  CHECK(merged.mean() == histogram_of(both).mean());
  check_percentiles(merged, both);

  merged = Histogram();  // so that both extremes come from the other one
  merged.record(5ms);
  merged.merge(histogram_of({1ns, 2h}));
  CHECK(merged.min() == 1ns);
  CHECK(merged.max() == 2h);
}

TEST_CASE("merging an empty histogram changes nothing", "[histogram]") {
  Histogram merged = histogram_of({3ns, 4ns});
  merged.merge(Histogram());
  CHECK(merged.count() == 2);
  CHECK(merged.min() == 3ns);
  CHECK(merged.max() == 4ns);
}

TEST_CASE("reset forgets everything, and mends a moved-from histogram", "[histogram]") {
  Histogram histogram = histogram_of({5ns, 7h});
  const Histogram taken = std::move(histogram);
  CHECK(taken.count() == 2);
  histogram.reset();  // NOLINT(bugprone-use-after-move)
  CHECK(histogram.count() == 0);
  CHECK(histogram.max() == 0ns);
  histogram.record(9ns);
  CHECK(histogram.min() == 9ns);
  CHECK(histogram.percentile(50) == 9ns);
}

TEST_CASE("the octaves of a histogram have all that was recorded, between powers of two of a nanosecond",
          "[histogram]") {
  CHECK(Histogram().octaves().empty());
  const Histogram histogram = histogram_of({0ns, 1ns, 255ns, 256ns, 511ns, 512ns, 1ms});
  const std::vector<leasepool::DurationBucket> expected{{1ns, 1},   {2ns, 1},    {256ns, 1},
                                                        {512ns, 2}, {1024ns, 1}, {1048576ns, 1}};
  CHECK(histogram.octaves() == expected);
  CHECK(histogram.sum() == 1ms + 1535ns);
  const std::vector<Duration> values = random_durations(10'000, 7);
  std::size_t counted = 0;
  for (const leasepool::DurationBucket& bucket : histogram_of(values).octaves()) {
    const auto in_it = std::ranges::count_if(
        values, [&](Duration value) { return value < bucket.below && value >= bucket.below / 2; });
    CHECK(bucket.count == static_cast<std::uint64_t>(in_it));
    counted += bucket.count;
  }
  CHECK(counted == values.size());
  Histogram longest;
  longest.record(Duration::max());
  CHECK(longest.octaves() == std::vector<leasepool::DurationBucket>{{Histogram::kMax + 1ns, 1}});
}
