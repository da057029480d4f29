// Saved runs back from JSON. Files come from anywhere, so that nothing in them is taken for granted.
#include "record_read.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace lpbench {

namespace {

using leasepool::Duration;
using nlohmann::json;

constexpr std::size_t kMaxBytes = std::size_t{64} << 20;

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw std::runtime_error(fmt::format("cannot read the run {}: {}", printable(path), reason));
}

std::string contents_of(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) refuse(path, "it is a directory");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(path, std::generic_category().message(errno));
  std::string text;
  std::array<char, 65536> piece{};
  while (file.read(piece.data(), piece.size()), file.gcount() > 0) {
    text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() > kMaxBytes) refuse(path, "it is too large for a saved run");
  }
  return text;
}

const json& member(const json& object, std::string_view name) {
  const auto found = object.find(name);
  if (found == object.end()) throw std::runtime_error(fmt::format("'{}' is missing", name));
  return *found;
}

double to_number(const json& value, const std::string& name, double most) {
  const double number = value.is_number() ? value.get<double>() : -1;
  if (number >= 0 && number <= most) return number;
  throw std::runtime_error(fmt::format("'{}' is not a number from 0 to {}", name, most));
}

double number_in(const json& object, const std::string& name) { return to_number(member(object, name), name, 1e15); }

std::uint64_t count_in(const json& object, const std::string& name) {
  return static_cast<std::uint64_t>(number_in(object, name));
}

Duration duration_from(const json& value, const std::string& name) {
  return Duration(static_cast<std::int64_t>(to_number(value, name, 1e18)));
}

Duration duration_in(const json& object, const std::string& name) { return duration_from(member(object, name), name); }

std::string text_in(const json& object, const std::string& name) {
  const json& value = member(object, name);
  if (!value.is_string()) throw std::runtime_error(fmt::format("'{}' is not a string", name));
  return value.get<std::string>();
}

const json& array_in(const json& object, std::string_view name) {
  constexpr std::size_t kMax = 10'000;
  const json& value = member(object, name);
  if (value.is_array() && value.size() <= kMax) return value;
  throw std::runtime_error(fmt::format("'{}' is not an array of at most {}", name, kMax));
}

const json& object_in(const json& object, std::string_view name) {
  const json& value = member(object, name);
  if (!value.is_object()) throw std::runtime_error(fmt::format("'{}' is not an object", name));
  return value;
}

std::vector<Setting> settings_in(const json& object) {
  std::vector<Setting> settings;
  for (const char* const name :
       {"backend", "pools", "workers", "depth", "threshold", "max_wait_s", "rate", "payload_bytes", "work"}) {
    if (!object.contains(name)) continue;
    Setting setting{.name = name, .value = {}};
    if (object[name].is_string()) {
      setting.value = text_in(object, name);
    } else if (setting.name == "max_wait_s" || setting.name == "rate") {
      setting.value = number_in(object, name);
    } else {
      setting.value = count_in(object, name);
    }
    settings.push_back(std::move(setting));
  }
  return settings;
}

Latency latency_in(const json& object) {
  return {.min = duration_in(object, "min"),
          .mean = duration_in(object, "mean"),
          .p50 = duration_in(object, "p50"),
          .p90 = duration_in(object, "p90"),
          .p99 = duration_in(object, "p99"),
          .p99_9 = duration_in(object, "p99_9"),
          .p99_99 = duration_in(object, "p99_99"),
          .max = duration_in(object, "max")};
}

std::vector<CurvePoint> curve_in(const json& object) {
  const std::string name = "latency_curve";
  std::vector<CurvePoint> curve;
  for (const json& point : array_in(object, name)) {
    if (!point.is_array() || point.size() != 2) {
      throw std::runtime_error(fmt::format("'{}' is not made of pairs", name));
    }
    // At 100 itself an axis of nines has no end.
    curve.push_back({.percent = to_number(point[0], name, 99.999'999'999), .latency = duration_from(point[1], name)});
  }
  return curve;
}

std::vector<Failures> failures_in(const json& object) {
  const json& messages = object_in(object, "first_failures");
  std::vector<Failures> failures;
  const json& kinds = object_in(object, "failures_by_kind");
  for (const auto& [kind, count] : kinds.items()) {
    failures.push_back({.kind = kind, .count = count_in(kinds, kind), .first_message = text_in(messages, kind)});
  }
  return failures;
}

RunRecord to_record(const json& object) {
  if (!object.is_object() || !object.contains("lpbench")) throw std::runtime_error("not what lpbench saves");
  RunRecord run{.command = text_in(object, "command"), .label = text_in(object, "label")};
  if (run.command != "calls" && run.command != "grind") {
    throw std::runtime_error("not a run of lpbench calls or lpbench grind");
  }
  run.version = text_in(object, "lpbench");
  run.started = text_in(object, "started");
  run.cores = count_in(object, "cores");
  run.processor = text_in(object, "processor");
  run.kernel = text_in(object, "kernel");
  run.settings = settings_in(object);
  run.elapsed = number_in(object, "elapsed_s");
  run.succeeded = count_in(object, run.thing() + 's');
  run.per_second = number_in(object, run.thing() + "s_per_s");
  run.interval = number_in(object, "interval_s");
  if (run.elapsed <= 0 || run.interval <= 0) throw std::runtime_error("nothing was measured");
  const std::string intervals = run.thing() + "s_per_interval";
  for (const json& count : array_in(object, intervals)) {
    run.per_interval.push_back(static_cast<std::uint64_t>(to_number(count, intervals, 1e15)));
  }
  run.latency = latency_in(object_in(object, "latency_ns"));
  run.curve = curve_in(object);
  const std::string cost = "cpu_ns_per_" + run.thing();
  run.cpu.here = {.user = duration_in(object, cost + "_here_user"),
                  .system = duration_in(object, cost + "_here_system")};
  run.cpu.workers = {.user = duration_in(object, cost + "_workers_user"),
                     .system = duration_in(object, cost + "_workers_system")};
  run.failures = failures_in(object);
  return run;
}

json parsed(const std::string& text) {
  try {
    return json::parse(text);
  } catch (const json::exception& error) {
    throw std::runtime_error("no JSON");
  }
}

}  // namespace

std::vector<RunRecord> read_runs(const std::string& path) {
  const std::string text = contents_of(path);
  try {
    const json found = parsed(text);
    std::vector<RunRecord> runs;
    if (found.is_array()) {
      for (const json& run : found) runs.push_back(to_record(run));
    } else {
      runs.push_back(to_record(found));
    }
    if (runs.empty()) throw std::runtime_error("no run in it");
    if (runs.size() == 1 && runs.front().label.empty()) {
      runs.front().label = std::filesystem::path(path).stem().string();
    }
    return runs;
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("{}: {}; give what lpbench calls --json or lpbench grind --json printed",
                                         printable(path), error.what()));
  }
}

}  // namespace lpbench
