// Numbers as people read them.
#include "units.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cmath>

namespace lpbench {

namespace {

// Three significant digits.
std::string three_digits(double value) {
  if (value < 9.995) return fmt::format("{:.2f}", value);
  return fmt::format("{:.{}f}", value, value < 99.95 ? 1 : 0);
}

}  // namespace

std::string human(leasepool::Duration duration) {
  const auto ns = static_cast<double>(duration.count());
  if (ns < 1e3) return fmt::format("{} ns", duration.count());
  if (ns < 999.5e3) return three_digits(ns / 1e3) + " us";
  if (ns < 999.5e6) return three_digits(ns / 1e6) + " ms";
  return three_digits(ns / 1e9) + " s";
}

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t end = text.size(); end > 3; end -= 3) text.insert(end - 3, 1, ',');
  return text;
}

std::string grouped(double number) { return grouped(static_cast<std::uint64_t>(std::llround(number))); }

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  constexpr std::array kUnits = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return three_digits(value) + ' ' + kUnits.at(unit);
}

std::string counted(std::uint64_t number, std::string_view thing) {
  return fmt::format("{} {}{}", grouped(number), thing, number == 1 ? "" : "s");
}

double seconds(leasepool::Duration duration) { return std::chrono::duration<double>(duration).count(); }

leasepool::Duration to_duration(double seconds) {
  return std::chrono::duration_cast<leasepool::Duration>(std::chrono::duration<double>(seconds));
}

}  // namespace lpbench
