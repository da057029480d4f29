// What runs are called, and how their settings read.
#include "record.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "units.hpp"

namespace lpbench {

namespace {

const Setting* find_setting(const RunRecord& run, std::string_view name) {
  const auto found = std::ranges::find(run.settings, name, &Setting::name);
  return found == run.settings.end() ? nullptr : &*found;
}

bool is_common(const Setting& setting, const std::vector<RunRecord>& runs) {
  return std::ranges::all_of(runs, [&](const RunRecord& run) {
    const Setting* const other = find_setting(run, setting.name);
    return other != nullptr && other->value == setting.value;
  });
}

std::string phrases(const std::vector<RunRecord>& runs, const RunRecord& run, bool common) {
  std::vector<std::string> found;
  for (const Setting& setting : run.settings) {
    if (is_common(setting, runs) == common) found.push_back(setting.phrase());
  }
  return fmt::format("{}", fmt::join(found, ", "));
}

// The n-th of those with the same name gets its number.
void tell_apart(std::vector<std::string>& names) {
  std::set<std::string> taken;
  for (std::string& name : names) {
    const std::string wanted = name;
    for (int number = 2; !taken.insert(name).second; ++number) name = fmt::format("{} #{}", wanted, number);
  }
}

}  // namespace

std::string Setting::phrase() const {
  const auto* const whole = std::get_if<std::uint64_t>(&value);
  const auto* const real = std::get_if<double>(&value);
  const auto* const text = std::get_if<std::string>(&value);
  if (whole != nullptr) {
    if (name == "pools") return counted(*whole, "pool");
    if (name == "workers") return counted(*whole, "worker");
    if (name == "depth") return grouped(*whole) + " in flight";
    if (name == "payload_bytes") return "payload " + human_bytes(*whole);
    return fmt::format("{} {}", name, grouped(*whole));
  }
  if (real != nullptr) {
    if (name == "rate")
      return fmt::format("{} items/s arrive", *real < 100 ? fmt::format("{}", *real) : grouped(*real));
    if (name == "max_wait_s") return "max wait " + human(to_duration(*real));
    return fmt::format("{} {}", name, *real);
  }
  return name == "backend" ? *text + " backend" : fmt::format("{} {}", name, *text);
}

std::uint64_t RunRecord::failure_count() const {
  std::uint64_t count = 0;
  for (const Failures& failure : failures) count += failure.count;
  return count;
}

std::string common_settings(const std::vector<RunRecord>& runs) {
  return runs.empty() ? "" : phrases(runs, runs.front(), true);
}

std::string own_settings(const std::vector<RunRecord>& runs, const RunRecord& run) { return phrases(runs, run, false); }

std::vector<std::string> names_of(const std::vector<RunRecord>& runs) {
  std::vector<std::string> names;
  for (const RunRecord& run : runs) {
    std::vector<RunRecord> alike = runs;  // which its name has to tell it from
    if (!run.label.empty()) std::erase_if(alike, [&](const RunRecord& other) { return other.label != run.label; });
    const std::string own = own_settings(alike, run);
    std::string name = run.label;
    if (!own.empty()) name += (name.empty() ? "" : ": ") + own;
    if (name.empty()) name = run.settings.empty() ? run.command : run.settings.front().phrase();
    names.push_back(std::move(name));
  }
  tell_apart(names);
  return names;
}

}  // namespace lpbench
