// The axes of plots: ranges that end at round numbers, and their ticks.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace lpbench {

class Axis {
 public:
  using Label = std::function<std::string(double value)>;
  struct Tick {
    double at = 0;  // as at() gives it
    std::string label;
  };

  // From zero to the next round number.
  static Axis linear(double high, const Label& label);
  // From zero to `high` itself.
  static Axis ending_at(double high, const Label& label);
  // Both greater than zero; to the next round numbers. Smaller values than `low` lie at its place.
  static Axis logarithmic(double low, double high, const Label& label);
  // Percentiles from 0 to `highest`, each further nine as wide as the one before: 90, 99, 99.9.
  static Axis percentiles(double highest);

  // Where a value lies, from 0 to 1.
  [[nodiscard]] double at(double value) const;
  [[nodiscard]] const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  Axis(double (*scale)(double), double low, double high) : scale_(scale), low_(scale(low)), high_(scale(high)) {}
  void add_tick(double value, std::string label) { ticks_.push_back({.at = at(value), .label = std::move(label)}); }
  void add_ticks(double step, double high, const Label& label);

  double (*scale_)(double);
  double low_;
  double high_;
  std::vector<Tick> ticks_;
};

}  // namespace lpbench
