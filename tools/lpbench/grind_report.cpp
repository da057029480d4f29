// What `lpbench grind` measured, as a table or as JSON.
#include <fmt/format.h>

#include "grind.hpp"
#include "json.hpp"
#include "table.hpp"
#include "units.hpp"

namespace lpbench {

std::uint64_t GrindReport::failure_count() const {
  std::uint64_t count = 0;
  for (const auto& [kind, failure] : failures) count += failure.count;
  return count;
}

double GrindReport::items_per_second() const {
  const std::uint64_t ended = after.items_completed - before.items_completed;
  return static_cast<double>(ended) / lpbench::seconds(elapsed);
}

leasepool::Duration GrindReport::per_item(leasepool::Duration cpu) const {
  const std::uint64_t ended = after.items_completed - before.items_completed;
  return ended == 0 ? leasepool::Duration::zero() : cpu / static_cast<std::int64_t>(ended);
}

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

void print_table(const GrindReport& report) {
  const GrindOptions& options = report.options;
  fmt::print(
      "{} backend on {}: {} of {}, threshold {}, max wait {}, {} items/s arrive, payload {}, work {}, {:.1f} s\n\n",
      backend_name(options.backend), counted(core_count(), "core"), counted(options.pools, "pool"),
      counted(options.workers, "worker"), options.threshold, human(to_duration(options.max_wait_seconds)),
      grouped(options.rate), human_bytes(options.payload), options.work.text, seconds(report.elapsed));
  const leasepool::Histogram& latency = report.latency;
  Table table({"items/s", "p50", "p90", "p99", "p99.9", "max", "CPU/item", "here", "workers", "failed"});
  table.add({grouped(report.items_per_second()), human(latency.percentile(50)), human(latency.percentile(90)),
             human(latency.percentile(99)), human(latency.percentile(99.9)), human(latency.max()),
             human(report.per_item(report.cpu_here + report.cpu_in_workers)), human(report.per_item(report.cpu_here)),
             human(report.per_item(report.cpu_in_workers)), grouped(report.failure_count())});
  fmt::print("{}", table.text());
  fmt::print("\nLatency: from an item's arrival to its result, the wait for its batch included.\n");
  fmt::print("{} batches ({} by size, {} by age); items in a batch: p10 {}, p50 {}, p90 {}, max {}\n",
             grouped(report.batches()), grouped(report.after.flushed_by_size - report.before.flushed_by_size),
             grouped(report.after.flushed_by_age - report.before.flushed_by_age), report.batch_size_at(10),
             report.batch_size_at(50), report.batch_size_at(90),
             report.batch_sizes.empty() ? 0 : report.batch_sizes.back().first);
  for (const auto& [kind, failure] : report.failures) {
    fmt::print("{} failed: {}; the first: {}\n", grouped(failure.count), kind, printable(failure.first_message));
  }
}

void print_json(const GrindReport& report) {
  const GrindOptions& options = report.options;
  const leasepool::Histogram& latency = report.latency;
  const Json latency_json = JsonObject()
                                .add("min", latency.min().count())
                                .add("mean", latency.mean().count())
                                .add("p50", latency.percentile(50).count())
                                .add("p90", latency.percentile(90).count())
                                .add("p99", latency.percentile(99).count())
                                .add("p99_9", latency.percentile(99.9).count())
                                .add("max", latency.max().count())
                                .json();
  JsonArray sizes;
  for (const auto& [size, count] : report.batch_sizes) {
    sizes.add(JsonObject().add("items", size).add("batches", count).json());
  }
  JsonObject kinds;
  for (const auto& [kind, failure] : report.failures) kinds.add(kind, failure.count);
  fmt::print("{}\n", JsonObject()
                         .add("command", "grind")
                         .add("backend", backend_name(options.backend))
                         .add("cores", core_count())
                         .add("pools", options.pools)
                         .add("workers", options.workers)
                         .add("threshold", options.threshold)
                         .add("max_wait_s", options.max_wait_seconds)
                         .add("rate", options.rate)
                         .add("payload_bytes", options.payload)
                         .add("work", options.work.text)
                         .add("elapsed_s", seconds(report.elapsed))
                         .add("arrived", report.arrived)
                         .add("items", latency.count())
                         .add("items_per_s", report.items_per_second())
                         .add("latency_ns", latency_json)
                         .add("batches", report.batches())
                         .add("batches_by_size", report.after.flushed_by_size - report.before.flushed_by_size)
                         .add("batches_by_age", report.after.flushed_by_age - report.before.flushed_by_age)
                         .add("batch_sizes", sizes.json())
                         .add("cpu_ns_per_item", report.per_item(report.cpu_here + report.cpu_in_workers).count())
                         .add("cpu_ns_per_item_here", report.per_item(report.cpu_here).count())
                         .add("cpu_ns_per_item_workers", report.per_item(report.cpu_in_workers).count())
                         .add("failures", report.failure_count())
                         .add("failures_by_kind", kinds.json())
                         .json()
                         .text);
}

}  // namespace lpbench
