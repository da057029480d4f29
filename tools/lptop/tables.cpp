// From stats.json to cells.
#include "tables.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "distribution.hpp"
#include "units.hpp"

namespace lptop {

namespace {

using nlohmann::json;

const json kNothing;

Cell words(const json& text, const char* if_empty = "-") {
  const auto& value = text.get_ref<const std::string&>();
  return {.text = value.empty() ? if_empty : value};
}
Cell number(double value) { return {.text = lpbench::grouped(value), .value = value}; }
Cell mishaps(double count) {
  Cell cell = number(count);
  cell.is_bad = count > 0;
  return cell;
}
// As the system's tools have it, for copying; 0: none.
Cell pid_cell(int pid) { return {.text = pid == 0 ? "-" : std::to_string(pid), .value = static_cast<double>(pid)}; }
// In seconds; null: never.
Cell time(const json& seconds) {
  if (!seconds.is_number()) return {.text = "never", .value = std::numeric_limits<double>::max()};
  const double value = seconds;
  return {.text = lpbench::human(lpbench::to_duration(value)), .value = value};
}
Cell time(std::optional<double> seconds) { return seconds ? time(json(*seconds)) : Cell{.text = "-", .value = -1}; }

// A manager, grinder, program... of the reading before, by what it is called; null where it was not there.
const json& find(const json& list, const char* key, const json& value) {
  if (!list.is_array()) return kNothing;
  for (const json& item : list) {
    if (item.at(key) == value) return item;
  }
  return kNothing;
}
const json& member(const json& object, const char* key) { return object.is_object() ? object.at(key) : kNothing; }

// Of a counter, in a second; none at the first reading.
Cell rate(const json& now, const json& before, const char* key, double seconds) {
  if (!before.is_object() || seconds <= 0) return {.text = "-"};
  const double value = std::max(0.0, (now.at(key).get<double>() - before.at(key).get<double>()) / seconds);
  return {.text = value < 100 ? fmt::format("{:.1f}", value) : lpbench::grouped(value), .value = value};
}

class Maker {
 public:
  explicit Maker(Processes& processes) : processes_(processes) {
    tables_.managers = {.title = "Managers",
                        .columns = {{"MANAGER", false},
                                    {"BACKEND", false},
                                    {"LEASED"},
                                    {"POOLS"},
                                    {"MAX"},
                                    {"WAITING"},
                                    {"ACQ p99"},
                                    {"CALLS/s"},
                                    {"WAIT p50"},
                                    {"WAIT p99"},
                                    {"RUN p50"},
                                    {"RUN p99"},
                                    {"FAILED"},
                                    {"CRASHED"},
                                    {"KILLED"}},
                        .rows = {}};
    tables_.grinders = {.title = "Grinders",
                        .columns = {{"GRINDER", false},
                                    {"PENDING"},
                                    {"OLDEST"},
                                    {"BATCHES"},
                                    {"ITEMS/s"},
                                    {"p50"},
                                    {"p99"},
                                    {"FAILED"},
                                    {"BY SIZE"},
                                    {"BY AGE"}},
                        .rows = {}};
    tables_.details = {
        {.title = "Leases",
         .columns = {{"LEASE"},
                     {"OWNER", false},
                     {"MANAGER", false},
                     {"AGE"},
                     {"EXPIRES IN"},
                     {"RUNNING"},
                     {"QUEUED"},
                     {"LONGEST"},
                     {"RUNS", false},
                     {"ACQUIRED AT", false}},
         .rows = {}},
        {.title = "Calls",
         .columns = {{"PID"}, {"FOR"}, {"FUNCTION", false}, {"OWNER", false}, {"MANAGER", false}, {"LEASE"}},
         .rows = {}},
        {.title = "Workers",
         .columns = {{"PID"}, {"WORKER"}, {"POOL", false}, {"CPU%"}, {"MEMORY"}, {"CALLS"}, {"FOR"}, {"RUNS", false}},
         .rows = {}},
        {.title = "Waiting", .columns = {{"OWNER", false}, {"MANAGER", false}, {"FOR"}, {"GIVES UP IN"}}, .rows = {}},
        {.title = "Nodes",
         .columns = {{"NODE", false},
                     {"MANAGER", false},
                     {"LEASES"},
                     {"IN DOUBT"},
                     {"ROUND TRIP"},
                     {"LAST HEARD"},
                     {"RESENDS"},
                     {"BUILD", false}},
         .rows = {}}};
  }

  void add(const json& now, const json& before) {
    if (!tables_.programs.empty()) tables_.programs += "; ";
    tables_.programs += fmt::format("{} (pid {}) on {}", now.at("program").get<std::string>(), now.at("pid").get<int>(),
                                    now.at("engine").get<std::string>());
    const double seconds = before.is_object() ? now.at("time").get<double>() - before.at("time").get<double>() : 0;
    for (const json& manager : now.at("managers")) {
      add_manager(manager, find(member(before, "managers"), "manager", manager.at("manager")), seconds);
    }
    for (const json& grinder : now.at("grinders")) {
      add_grinder(grinder, find(member(before, "grinders"), "grinder", grinder.at("grinder")), seconds);
    }
    for (const json& node : now.at("nodes")) {
      const json& earlier = find(member(before, "nodes"), "name", node.at("name"));
      add_manager(node.at("local"), member(earlier, "local"), seconds);
    }
  }

  Tables take() {
    processes_.end_round();
    return std::move(tables_);
  }

 private:
  void add_manager(const json& now, const json& before, double seconds) {
    const Distribution acquire(now.at("acquire_wait"), member(before, "acquire_wait"));
    const Distribution wait(now.at("call_wait"), member(before, "call_wait"));
    const Distribution run(now.at("call_run"), member(before, "call_run"));
    tables_.managers.rows.push_back(
        {words(now.at("manager")), words(now.at("backend")), number(now.at("leased")), number(now.at("total")),
         number(now.at("max_pools")), number(static_cast<double>(now.at("waiters").size())),
         time(acquire.percentile(99)), rate(now, before, "calls_completed", seconds), time(wait.percentile(50)),
         time(wait.percentile(99)), time(run.percentile(50)), time(run.percentile(99)), mishaps(now.at("calls_failed")),
         mishaps(now.at("workers_crashed")), mishaps(now.at("workers_killed"))});
    for (const json& lease : now.at("leases")) add_lease(now, lease);
    for (const json& worker : now.at("workers")) add_worker(worker, now.at("backend") == "thread");
    for (const json& waiter : now.at("waiters")) {
      tables_.details[3].rows.push_back({words(waiter.at("owner")), words(now.at("manager")), time(waiter.at("age")),
                                         time(waiter.at("until_timeout"))});
    }
    for (const json& node : now.at("nodes")) {
      tables_.details[4].rows.push_back(
          {words(node.at("node")), words(now.at("manager")), number(node.at("leases")),
           number(node.at("calls_in_doubt")),
           node.at("round_trip").is_null() ? Cell{.text = "-"} : time(node.at("round_trip")),
           time(node.at("last_heard")), number(node.at("resends")), words(node.at("build"))});
    }
  }

  void add_lease(const json& manager, const json& lease) {
    const json* longest = nullptr;
    for (const json& call : lease.at("running")) {
      if (longest == nullptr || call.at("running_for") > longest->at("running_for")) longest = &call;
      tables_.details[1].rows.push_back({pid_cell(call.at("pid")), time(call.at("running_for")),
                                         words(call.at("function")), words(lease.at("owner")),
                                         words(manager.at("manager")), number(lease.at("lease_id"))});
    }
    tables_.details[0].rows.push_back(
        {number(lease.at("lease_id")), words(lease.at("owner")), words(manager.at("manager")), time(lease.at("age")),
         time(lease.at("until_hard_expiry")), number(lease.at("calls_running")), number(lease.at("calls_queued")),
         longest == nullptr ? Cell{.text = "-", .value = -1} : time(longest->at("running_for")),
         longest == nullptr ? Cell{.text = "-"} : words(longest->at("function")), words(lease.at("acquired_at"))});
  }

  // A thread's memory is the program's, and is not its own.
  void add_worker(const json& worker, bool is_thread) {
    const int pid = worker.at("pid");
    const auto use = pid > 0 ? processes_.use_of(pid) : std::nullopt;
    const auto cpu = use ? use->cpu_percent : std::nullopt;
    const json& running = worker.at("running");
    const char* const state = worker.at("starting").get<bool>() ? "starting" : "-";
    tables_.details[2].rows.push_back(
        {pid_cell(pid), number(worker.at("worker_id")), words(worker.at("pool")),
         cpu ? Cell{.text = fmt::format("{:.1f}", *cpu), .value = *cpu} : Cell{.text = "-", .value = -1},
         use && !is_thread
             ? Cell{.text = lpbench::human_bytes(use->resident), .value = static_cast<double>(use->resident)}
             : Cell{.text = "-"},
         is_thread ? Cell{.text = "-"} : number(worker.at("calls")),
         running.is_null() ? Cell{.text = "-", .value = -1} : time(running.at("running_for")),
         running.is_null() ? Cell{.text = state} : words(running.at("function"))});
  }

  void add_grinder(const json& now, const json& before, double seconds) {
    const Distribution total(now.at("item_total"), member(before, "item_total"));
    tables_.grinders.rows.push_back({words(now.at("grinder")), number(now.at("pending")), time(now.at("oldest_wait")),
                                     number(now.at("batches_in_flight")), rate(now, before, "items_completed", seconds),
                                     time(total.percentile(50)), time(total.percentile(99)),
                                     number(now.at("items_failed")), number(now.at("flushed_by_size")),
                                     number(now.at("flushed_by_age"))});
  }

  Processes& processes_;
  Tables tables_;
};

}  // namespace

Tables make_tables(const std::vector<json>& now, const std::vector<json>& before, Processes& processes) {
  Maker maker(processes);
  for (const json& report : now) {
    // Two loops of a program say the same of it, and come in the same order.
    const json* earlier = &kNothing;
    for (const json& other : before) {
      if (other.at("pid") == report.at("pid") && other.at("loop") == report.at("loop")) earlier = &other;
    }
    maker.add(report, *earlier);
  }
  return maker.take();
}

}  // namespace lptop
