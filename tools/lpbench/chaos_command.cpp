// `lpbench chaos` on the command line.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "../common/standard_streams.hpp"
#include "chaos/chaos.hpp"
#include "cli.hpp"
#include "interruption.hpp"

namespace lpbench {

namespace {

int run(const chaos::ChaosOptions& options) {
  try {
    const chaos::ChaosReport report = chaos::run_chaos(options);
    options.json ? print_json(report) : print_table(report);
    return report.passed() ? kSuccess : kFailure;
  } catch (const Interrupted& interrupted) {
    tools::complain("lpbench: interrupted by SIG{}: the run had not ended\n", ::sigabbrev_np(interrupted.signal));
    return kInterrupted + interrupted.signal;
  }
}

}  // namespace

void add_chaos_command(CLI::App& app, Action& action) {
  CLI::App* const command = app.add_subcommand(
      "chaos", "Have everything go wrong under load, and look whether each call is accounted for and nothing is left");
  command->footer(
      "Calls on threads, processes and nodes, a grinder and the loop's own I/O, while a hand that a seed guides kills\n"
      "and stops workers, fork servers, nodes and the program itself, fills the log's disk, exhausts descriptors and\n"
      "processes, expires leases, restarts managers and drops callers' tasks. Nodes need nats-server in PATH.\n"
      "Exit code 0: each call ended once, as it may, and threads, processes, descriptors, mappings and memory are as\n"
      "they were before.");
  const auto options = std::make_shared<chaos::ChaosOptions>();
  command->add_option("--duration", options->seconds, "Seconds")
      ->check(number_of_seconds(1, 86'400))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "What all choices follow from [a random one]")
      ->type_name("N")
      ->check(whole_number(0, UINT64_MAX));
  command
      ->add_option("--backend", options->backends,
                   "thread, process, remote, or several with commas [all that there are]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("NAME")
      ->check(one_of({"all", "thread", "process", "remote"}));
  command->add_flag("--json", options->json, "Print JSON instead of tables");
  command->add_flag("--progress", options->progress, "Show the live line also where stderr is no terminal");
  command->callback([options, &action] {
    if (std::ranges::find(options->backends, "all") != options->backends.end()) options->backends.clear();
    action = [options] { return run(*options); };
  });
}

}  // namespace lpbench
