#include "distribution.hpp"

#include <map>

namespace lptop {

Distribution::Distribution(const nlohmann::json& now, const nlohmann::json& before) {
  std::map<double, double> earlier;
  if (before.is_object()) {
    for (const auto& bucket : before.at("buckets")) earlier[bucket.at("below")] = bucket.at("count");
  }
  for (const auto& bucket : now.at("buckets")) {
    const double below = bucket.at("below");
    const double count = bucket.at("count").get<double>() - earlier[below];
    if (count <= 0) continue;
    buckets_.push_back({.below = below, .count = count});
    count_ += count;
  }
}

std::optional<double> Distribution::percentile(double percent) const {
  double left = count_ * percent / 100;
  for (const Bucket& bucket : buckets_) {
    if (left <= bucket.count) return bucket.below / 2 * (1 + left / bucket.count);
    left -= bucket.count;
  }
  return std::nullopt;
}

}  // namespace lptop
