// Round numbers for axes.
#include "page/axis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace lpbench {

namespace {

constexpr std::array kRoundSteps = {1.0, 2.0, 5.0};

double identity(double value) { return value; }
double log_scale(double value) { return std::log10(value); }

// How many nines, in a way: 0 for 0, 1 for 90, 2 for 99.
double nines(double percent) { return -std::log10(1 - percent / 100); }

// The step that makes four to ten ticks.
double round_step(double high) {
  const double power = std::pow(10, std::floor(std::log10(high)) - 1);
  for (const double step : {2.0, 5.0, 10.0}) {
    if (high / (step * power) <= 7) return step * power;
  }
  return 20 * power;
}

double power_of_ten(int exponent) { return std::pow(10, exponent); }

}  // namespace

Axis Axis::linear(double high, const Label& label) {
  const double step = round_step(std::max(high, 1e-9));
  const double end = step * std::ceil(std::max(high, 1e-9) / step);
  Axis axis(identity, 0, end);
  axis.add_ticks(step, end, label);
  return axis;
}

Axis Axis::ending_at(double high, const Label& label) {
  Axis axis(identity, 0, std::max(high, 1e-9));
  axis.add_ticks(round_step(std::max(high, 1e-9)), high, label);
  return axis;
}

void Axis::add_ticks(double step, double high, const Label& label) {
  for (int index = 0; index * step <= high * (1 + 1e-9); ++index) add_tick(index * step, label(index * step));
}

Axis Axis::logarithmic(double low, double high, const Label& label) {
  const auto rounded = [](double value, bool up) {
    const double power = std::pow(10, std::floor(std::log10(value)));
    double below = power;
    for (const double step : kRoundSteps) {
      if (up && step * power >= value) return step * power;
      if (step * power <= value) below = step * power;
    }
    return up ? 10 * power : below;
  };
  const double begin = rounded(low, false);
  double end = rounded(high, true);
  if (end <= begin) end = 10 * begin;
  Axis axis(log_scale, begin, end);
  const double decades = axis.high_ - axis.low_;
  for (int exponent = static_cast<int>(std::floor(axis.low_)); exponent <= std::ceil(axis.high_); ++exponent) {
    for (const double step : kRoundSteps) {
      const double value = step * power_of_ten(exponent);
      const bool inside = value >= begin * (1 - 1e-9) && value <= end * (1 + 1e-9);
      if (inside && (decades <= 2.5 || step == 1)) axis.add_tick(value, label(value));
    }
  }
  return axis;
}

Axis Axis::percentiles(double highest) {
  Axis axis(nines, 0, std::max(highest, 99.0));
  for (const double percent : {0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999, 99.99999, 99.999999}) {
    if (nines(percent) <= axis.high_ + 0.05) axis.add_tick(percent, fmt::format("{}", percent));
  }
  return axis;
}

double Axis::at(double value) const {
  const double scaled = scale_(value);
  return std::isnan(scaled) ? 0 : std::clamp((scaled - low_) / (high_ - low_), 0.0, 1.0);
}

}  // namespace lpbench
