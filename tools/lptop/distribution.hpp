// What was recorded between two readings of a histogram.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

namespace lptop {

class Distribution {
 public:
  // Of a duration summary of stats.json; all that is in it where `before` is null.
  Distribution(const nlohmann::json& now, const nlohmann::json& before);

  // In seconds, interpolated within an octave; none where nothing was recorded.
  [[nodiscard]] std::optional<double> percentile(double percent) const;

 private:
  struct Bucket {
    double below;
    double count;
  };
  std::vector<Bucket> buckets_;
  double count_ = 0;
};

}  // namespace lptop
