// The options of measured runs that have one value.
#include "run_command.hpp"

#include <fmt/format.h>

#include "remote_options.hpp"

namespace lpbench {

void check_run_count(std::size_t count) {
  if (count <= kMaxRuns) return;
  throw CLI::ValidationError(
      fmt::format("{} or more runs are too many: give values that make {} at most", count, kMaxRuns));
}

void check_servers(bool nodes_wanted, const leasepool::RemoteOptions& remote) {
  if (nodes_wanted && remote.servers.empty()) {
    throw CLI::ValidationError("--backend remote needs --servers: name the NATS server that the nodes are at");
  }
  if (!nodes_wanted && !remote.servers.empty()) {
    throw CLI::ValidationError("--servers is for pools of nodes: give --backend remote, too");
  }
}

void add_single_options(CLI::App& command, RunOptions& run, OutputOptions& output) {
  command.add_option("--duration", run.seconds, "Seconds to measure each run")
      ->check(number_of_seconds(0.001, 86'400))
      ->capture_default_str();
  command.add_option("--warm-up", run.warm_up_seconds, "Seconds of the same before that")
      ->check(number_of_seconds(0, 86'400))
      ->capture_default_str();
  command.add_option("--label", run.label, "What the run is called beside others [the settings that differ]");
  command.add_flag("--json", output.json, "Print JSON instead of a table: lpbench report reads it");
  command.add_option("--report", output.report, "Write a page with plots of all runs to this file, ending in .html")
      ->check(page_name());
  add_remote_options(command, run.remote);
  command.add_flag("--progress", run.progress, "Show the live line also where stderr is no terminal");
}

}  // namespace lpbench
