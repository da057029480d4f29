// lptop shows what programs that call Loop::serve_stats() do. main() reads the command line.
#include <sys/types.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "../common/command_line.hpp"
#include "../common/standard_streams.hpp"
#include "client.hpp"
#include "screen.hpp"
#include "tables.hpp"

namespace {

using lptop::Source;
using nlohmann::json;

constexpr int kSuccess = 0;
constexpr int kFailure = 1;
constexpr int kUsage = 2;
constexpr auto kPatience = std::chrono::seconds(5);

struct Options {
  std::string target;
  double interval = 1;
  bool once = false;
  bool json = false;
};

// The sockets of a PID, or one by its path; of all programs where nothing is named.
std::vector<Source> sources_of(const std::string& target) {
  if (target.find('/') != std::string::npos) return {{.path = target}};
  return lptop::find_sources(target.empty() ? 0 : std::stoi(target));
}

std::vector<json> read_all(const Options& options) {
  auto reports = lptop::ask(sources_of(options.target), kPatience);
  std::map<int, int> loops;
  for (json& report : reports) report["loop"] = ++loops[report.at("pid").get<int>()];
  return reports;
}

int nobody(const Options& options) {
  const std::string who = options.target.empty() ? "no program of this user shows"
                          : options.target.find('/') == std::string::npos
                              ? "process " + options.target + " does not show"
                              : "nobody shows at " + options.target;
  tools::complain("lptop: {} what it does: a program does once it calls loop.serve_stats()\n", who);
  return kFailure;
}

// The program to show where several do, which only the user knows.
int list(const std::vector<json>& reports) {
  lptop::Table table{.title = "", .columns = {{"PID"}, {"PROGRAM", false}, {"MANAGERS", false}}, .rows = {}};
  for (const json& report : reports) {
    std::string managers;
    for (const json& manager : report.at("managers"))
      managers += (managers.empty() ? "" : ", ") + manager.at("manager").get<std::string>();
    table.rows.push_back(
        {{.text = std::to_string(report.at("pid").get<int>())}, {.text = report.at("program")}, {.text = managers}});
  }
  tools::complain("lptop: several programs show what they do; name one: lptop PID\n");
  for (const std::string& line : table.lines()) tools::print_text(line + "\n");
  return kUsage;
}

bool are_of_one_program(const std::vector<json>& reports) {
  return std::ranges::all_of(reports, [&](const json& report) { return report.at("pid") == reports[0].at("pid"); });
}

void print_tables(const lptop::Tables& tables) {
  tools::print_text(tables.programs + "\n");
  const auto print_one = [](const lptop::Table& table) {
    if (table.rows.empty()) return;
    tools::print_text("\n" + table.title + "\n");
    for (const std::string& line : table.lines()) tools::print_text("  " + line + "\n");
  };
  print_one(tables.managers);
  print_one(tables.grinders);
  for (const lptop::Table& table : tables.details) print_one(table);
}

int run(Options options) {
  auto reports = read_all(options);
  if (reports.empty()) return nobody(options);
  if (options.json) {
    for (const json& report : reports) tools::print_text(report.dump() + "\n");
    return kSuccess;
  }
  if (!are_of_one_program(reports)) return list(reports);
  if (options.target.empty()) options.target = std::to_string(reports[0].at("pid").get<int>());
  const auto interval = std::chrono::milliseconds(static_cast<long>(options.interval * 1000));
  if (options.once) {
    lptop::Processes processes;
    (void)lptop::make_tables(reports, {}, processes);
    std::this_thread::sleep_for(interval);
    const auto now = read_all(options);
    print_tables(lptop::make_tables(now.empty() ? reports : now, reports, processes));
    return kSuccess;
  }
  const std::string why = lptop::run_screen([&] { return read_all(options); }, interval);
  if (!why.empty()) tools::complain("lptop: {}\n", why);
  return kSuccess;
}

int parse_and_run(int argc, char** argv) {
  CLI::App app("Shows what a program's loops, managers, leases and worker processes do. The program calls "
               "loop.serve_stats(). Keys: h tells them.",
               "lptop");
  app.set_version_flag("--version", "lptop " LPTOP_VERSION, "Print the version and end");
  app.set_help_flag("--help,-h", "Print this help and end");
  Options options;
  app.add_option("target", options.target,
                 "The program's PID, or the path of its socket; without it the only program that shows itself")
      ->type_name("PID|PATH")
      ->check([](const std::string& text) {
        const bool is_path = text.find('/') != std::string::npos;
        const bool is_pid =
            !text.empty() && text.size() < 10 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
        return is_path || (is_pid && text != "0") ? std::string()
                                                  : "'" + text + "' is neither a PID nor a path with a /";
      });
  app.add_option("--interval,-d", options.interval, "Seconds between two readings")
      ->check(CLI::Range(0.3, 3600.0))
      ->capture_default_str();
  app.add_flag("--once", options.once, "Print tables of one interval, and end");
  app.add_flag("--json", options.json, "Print what the program says, a JSON object for each of its loops, and end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return tools::show(app, error) ? kSuccess : kUsage;
  }
  return run(std::move(options));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    tools::hold_standard_streams();
    const int exit_code = parse_and_run(argc, argv);
    tools::flush_output();
    return exit_code;
  } catch (const std::exception& error) {
    tools::complain("lptop: {}\n", error.what());
    return kFailure;
  }
}
