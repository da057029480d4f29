// Finished runs as a table and as JSON.
#include <fmt/format.h>

#include "../common/standard_streams.hpp"
#include "record.hpp"
#include "table.hpp"
#include "units.hpp"

namespace lpbench {

namespace {

Json latency_json(const Latency& latency) {
  return JsonObject()
      .add("min", latency.min.count())
      .add("mean", latency.mean.count())
      .add("p50", latency.p50.count())
      .add("p90", latency.p90.count())
      .add("p99", latency.p99.count())
      .add("p99_9", latency.p99_9.count())
      .add("p99_99", latency.p99_99.count())
      .add("max", latency.max.count())
      .json();
}

Json curve_json(const std::vector<CurvePoint>& curve) {
  JsonArray points;
  for (const CurvePoint& point : curve) {
    points.add(JsonArray().add(point.percent).add(point.latency.count()).json());
  }
  return points.json();
}

std::vector<std::string> row_of(const RunRecord& run) {
  return {grouped(run.per_second),     human(run.latency.p50),      human(run.latency.p90),
          human(run.latency.p99),      human(run.latency.p99_9),    human(run.latency.max),
          human(run.cpu.total()),      human(run.cpu.here.total()), human(run.cpu.workers.total()),
          grouped(run.failure_count())};
}

}  // namespace

void print_runs(const std::vector<RunRecord>& runs) {
  const RunRecord& first = runs.front();
  const std::string thing = first.thing();
  const std::string common = common_settings(runs);
  tools::print("{} on {}: {}{}{:.1f} s\n\n", first.command, counted(first.cores, "core"), common,
               common.empty() ? "" : ", ", first.elapsed);
  std::vector<std::string> header = {thing + "s/s", "p50",          "p90",  "p99",     "p99.9",
                                     "max",         "CPU/" + thing, "here", "workers", "failed"};
  const bool named = runs.size() > 1;
  if (named) header.insert(header.begin(), "run");
  Table table(std::move(header));
  const std::vector<std::string> names = names_of(runs);
  for (std::size_t index = 0; index < runs.size(); ++index) {
    std::vector<std::string> row = row_of(runs[index]);
    if (named) row.insert(row.begin(), printable(names[index]));
    table.add(std::move(row));
  }
  tools::print_text(table.text());
  tools::print("\nCPU/{}: user and system time, of this process (here) and of the worker processes.\n", thing);
  for (std::size_t index = 0; index < runs.size(); ++index) {
    for (const Failures& failure : runs[index].failures) {
      tools::print("{}{} failed: {}; the first: {}\n", named ? printable(names[index]) + ": " : "",
                   grouped(failure.count), printable(failure.kind), printable(failure.first_message));
    }
  }
}

JsonObject to_json(const RunRecord& run) {
  const std::string thing = run.thing();
  const std::string cost = "cpu_ns_per_" + thing;
  JsonArray intervals;
  for (const std::uint64_t count : run.per_interval) intervals.add(count);
  JsonObject kinds;
  JsonObject messages;
  for (const Failures& failure : run.failures) {
    kinds.add(failure.kind, failure.count);
    messages.add(failure.kind, failure.first_message);
  }
  JsonObject json;
  json.add("lpbench", run.version).add("command", run.command).add("label", run.label).add("started", run.started);
  json.add("cores", run.cores).add("processor", run.processor).add("kernel", run.kernel);
  for (const Setting& setting : run.settings) {
    std::visit([&](const auto& value) { json.add(setting.name, value); }, setting.value);
  }
  json.add("elapsed_s", run.elapsed)
      .add(thing + 's', run.succeeded)
      .add(thing + "s_per_s", run.per_second)
      .add("interval_s", run.interval)
      .add(thing + "s_per_interval", intervals.json())
      .add("latency_ns", latency_json(run.latency))
      .add("latency_curve", curve_json(run.curve))
      .add(cost, run.cpu.total().count())
      .add(cost + "_here", run.cpu.here.total().count())
      .add(cost + "_here_user", run.cpu.here.user.count())
      .add(cost + "_here_system", run.cpu.here.system.count())
      .add(cost + "_workers", run.cpu.workers.total().count())
      .add(cost + "_workers_user", run.cpu.workers.user.count())
      .add(cost + "_workers_system", run.cpu.workers.system.count())
      .add("failures", run.failure_count())
      .add("failures_by_kind", kinds.json())
      .add("first_failures", messages.json());
  return json;
}

void print_json(const std::vector<Json>& runs) {
  if (runs.size() == 1) return tools::print("{}\n", runs.front().text);
  std::string text;
  for (const Json& run : runs) text += (text.empty() ? "[" : ",\n ") + run.text;
  tools::print("{}]\n", text);
}

}  // namespace lpbench
