// A finished run of `lpbench calls` or `lpbench grind`: what is printed, saved, read back and laid beside others.
#pragma once

#include <leasepool/duration.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cpu_time.hpp"
#include "json.hpp"

namespace lpbench {

// So many runs can be told apart by colour and dashes.
inline constexpr std::size_t kMaxRuns = 24;

// One option of a run that bears on its figures.
struct Setting {
  std::string name;  // as in the JSON
  std::variant<std::uint64_t, double, std::string> value;

  // As it reads in a list: "64 in flight".
  [[nodiscard]] std::string phrase() const;
};

struct Latency {
  leasepool::Duration min{}, mean{}, p50{}, p90{}, p99{}, p99_9{}, p99_99{}, max{};
};

// So many per cent of all were at most so slow.
struct CurvePoint {
  double percent = 0;
  leasepool::Duration latency{};
};

struct Failures {
  std::string kind;
  std::uint64_t count = 0;
  std::string first_message;
};

// Of a call or item, failed ones included.
struct CpuCost {
  CpuTime here{};     // this process: the loop, and the threads of the thread backend
  CpuTime workers{};  // worker processes and the fork server

  [[nodiscard]] leasepool::Duration total() const { return here.total() + workers.total(); }
};

struct RunRecord {
  std::string command;  // calls or grind
  std::string label{};  // the user's; may be empty
  std::string version{};
  std::string started{};  // date and time, UTC
  std::uint64_t cores = 0;
  std::string processor{};
  std::string kernel{};
  std::vector<Setting> settings{};

  double elapsed = 0;           // seconds measured
  std::uint64_t succeeded = 0;  // of those that are in the latency
  double per_second = 0;        // that succeeded in the measured time
  double interval = 0;          // seconds
  // How many succeeded in each interval; the last of them ends with the measured time, and may be longer or shorter.
  std::vector<std::uint64_t> per_interval{};
  Latency latency{};
  std::vector<CurvePoint> curve{};
  CpuCost cpu{};
  std::vector<Failures> failures{};

  // "call" or "item"
  [[nodiscard]] std::string thing() const { return command == "grind" ? "item" : "call"; }
  [[nodiscard]] std::uint64_t failure_count() const;
};

// What each run is called beside the others: its label, or the settings in which it differs from them. All names
// differ.
std::vector<std::string> names_of(const std::vector<RunRecord>& runs);

// The settings that are the same in all of them, as phrases; and those of one that are not.
std::string common_settings(const std::vector<RunRecord>& runs);
std::string own_settings(const std::vector<RunRecord>& runs, const RunRecord& run);

// As a table on stdout.
void print_runs(const std::vector<RunRecord>& runs);

JsonObject to_json(const RunRecord& run);

// One object, or an array of several.
void print_json(const std::vector<Json>& runs);

}  // namespace lpbench
