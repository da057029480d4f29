// What `lpbench calls` measured, as a table or as JSON.
#include <fmt/format.h>

#include "calls.hpp"
#include "json.hpp"
#include "table.hpp"
#include "units.hpp"

namespace lpbench {

const char* backend_name(leasepool::ExecutorBackend backend) {
  return backend == leasepool::ExecutorBackend::process ? "process" : "thread";
}

std::uint64_t CallsReport::failure_count() const {
  std::uint64_t count = 0;
  for (const auto& [kind, failure] : failures) count += failure.count;
  return count;
}

double CallsReport::calls_per_second() const {
  return static_cast<double>(latency.count()) / lpbench::seconds(elapsed);
}

leasepool::Duration CallsReport::per_call(leasepool::Duration cpu) const {
  const std::uint64_t calls = latency.count() + failure_count();
  return calls == 0 ? leasepool::Duration::zero() : cpu / static_cast<std::int64_t>(calls);
}

void print_table(const CallsReport& report) {
  const CallsOptions& options = report.options;
  fmt::print("{} backend on {}: {}, {} in flight, payload {}, work {}, {:.1f} s\n\n", backend_name(options.backend),
             counted(core_count(), "core"), counted(options.workers, "worker"), counted(options.depth, "call"),
             human_bytes(options.payload), options.work.text, seconds(report.elapsed));
  const leasepool::Histogram& latency = report.latency;
  Table table({"calls/s", "p50", "p90", "p99", "p99.9", "max", "CPU/call", "here", "workers", "failed"});
  table.add({grouped(report.calls_per_second()), human(latency.percentile(50)), human(latency.percentile(90)),
             human(latency.percentile(99)), human(latency.percentile(99.9)), human(latency.max()),
             human(report.per_call(report.cpu_here + report.cpu_in_workers)), human(report.per_call(report.cpu_here)),
             human(report.per_call(report.cpu_in_workers)), grouped(report.failure_count())});
  fmt::print("{}", table.text());
  fmt::print("\nCPU/call: user and system time, of this process (here) and of the worker processes.\n");
  for (const auto& [kind, failure] : report.failures) {
    fmt::print("{} failed: {}; the first: {}\n", grouped(failure.count), kind, printable(failure.first_message));
  }
}

void print_json(const CallsReport& report) {
  const CallsOptions& options = report.options;
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
  JsonObject kinds;
  for (const auto& [kind, failure] : report.failures) kinds.add(kind, failure.count);
  fmt::print("{}\n", JsonObject()
                         .add("command", "calls")
                         .add("backend", backend_name(options.backend))
                         .add("cores", core_count())
                         .add("workers", options.workers)
                         .add("depth", options.depth)
                         .add("payload_bytes", options.payload)
                         .add("work", options.work.text)
                         .add("elapsed_s", seconds(report.elapsed))
                         .add("calls", latency.count())
                         .add("calls_per_s", report.calls_per_second())
                         .add("latency_ns", latency_json)
                         .add("cpu_ns_per_call", report.per_call(report.cpu_here + report.cpu_in_workers).count())
                         .add("cpu_ns_per_call_here", report.per_call(report.cpu_here).count())
                         .add("cpu_ns_per_call_workers", report.per_call(report.cpu_in_workers).count())
                         .add("failures", report.failure_count())
                         .add("failures_by_kind", kinds.json())
                         .json()
                         .text);
}

}  // namespace lpbench
