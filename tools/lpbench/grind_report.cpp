// The batches of `lpbench grind`, as lines below the table and as part of its JSON.
#include <fmt/format.h>

#include "grind.hpp"
#include "units.hpp"

namespace lpbench {

std::uint64_t GrindReport::batches() const {
  std::uint64_t count = 0;
  for (const auto& [size, batches_of_size] : batch_sizes) count += batches_of_size;
  return count;
}

std::size_t GrindReport::batch_size_at(double percent) const {
  double left = static_cast<double>(batches()) * percent / 100;
  for (const auto& [size, count] : batch_sizes) {
    if (left <= static_cast<double>(count)) return size;
    left -= static_cast<double>(count);
  }
  return 0;
}

std::string batches_line(const GrindReport& report) {
  return fmt::format("{} batches ({} by size, {} by age); items in a batch: p10 {}, p50 {}, p90 {}, max {}\n",
                     grouped(report.batches()), grouped(report.after.flushed_by_size - report.before.flushed_by_size),
                     grouped(report.after.flushed_by_age - report.before.flushed_by_age), report.batch_size_at(10),
                     report.batch_size_at(50), report.batch_size_at(90),
                     report.batch_sizes.empty() ? 0 : report.batch_sizes.back().first);
}

Json to_json(const GrindReport& report) {
  JsonArray sizes;
  for (const auto& [size, count] : report.batch_sizes) {
    sizes.add(JsonObject().add("items", size).add("batches", count).json());
  }
  return to_json(report.run)
      .add("arrived", report.arrived)
      .add("batches", report.batches())
      .add("batches_by_size", report.after.flushed_by_size - report.before.flushed_by_size)
      .add("batches_by_age", report.after.flushed_by_age - report.before.flushed_by_age)
      .add("batch_sizes", sizes.json())
      .json();
}

}  // namespace lpbench
