// lpbench shows and measures leasepool's backends. main() reads the command line; each subcommand has its file.
#include <sys/prctl.h>
#include <leasepool/init.hpp>

#include <exception>
#include <string_view>

#include "../common/command_line.hpp"
#include "../common/standard_streams.hpp"
#include "chaos/guardian.hpp"
#include "cli.hpp"

namespace {

int run(int argc, char** argv) {
  CLI::App app("Shows and measures leasepool: blocking work on threads, worker processes\nand other machines, beside "
               "one event loop.",
               "lpbench");
  app.set_version_flag("--version", "lpbench " LPBENCH_VERSION, "Print the version and end");
  app.set_help_flag("--help,-h", "Print this help and end");
  app.require_subcommand(1);
  lpbench::Action action;
  lpbench::add_files_command(app, action);
  lpbench::add_calls_command(app, action);
  lpbench::add_grind_command(app, action);
  lpbench::add_chaos_command(app, action);
  lpbench::add_node_command(app, action);
  lpbench::add_report_command(app, action);
  try {
    tools::check_subcommand(app, argc, argv);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return tools::show(app, error) ? lpbench::kSuccess : lpbench::kUsage;
  }
  return action();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    tools::hold_standard_streams();
    if (argc > 1 && std::string_view(argv[1]) == "chaos") {
      if (const auto ended = lpbench::chaos::begin_guarded()) return *ended;
    }
    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);  // the fork servers' time is to count, too: they come to this process
    leasepool::init();
    const int exit_code = run(argc, argv);
    tools::flush_output();
    return exit_code;
  } catch (const std::exception& error) {
    tools::complain("lpbench: {}\n", error.what());
    return lpbench::kFailure;
  }
}
