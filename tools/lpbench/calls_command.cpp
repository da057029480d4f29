// `lpbench calls` on the command line.
#include <memory>
#include <stdexcept>
#include <vector>

#include "calls.hpp"
#include "page/page_file.hpp"
#include "run_command.hpp"

namespace lpbench {

namespace {

int measure(const std::vector<CallsOptions>& options, const OutputOptions& output) {
  if (!output.report.empty()) check_page_file(output.report);
  std::vector<RunRecord> runs;
  std::vector<Json> json;
  for (const CallsOptions& run : options) {
    runs.push_back(run_calls(run));
    json.push_back(to_json(runs.back()).json());
    if (runs.back().succeeded + runs.back().failure_count() == 0) {
      throw std::runtime_error("calls: no call ended in the measured time: give a longer --duration");
    }
  }
  output.json ? print_json(json) : print_runs(runs);
  if (!output.report.empty()) write_page(output.report, runs);
  return exit_code(runs);
}

}  // namespace

void add_calls_command(CLI::App& app, Action& action) {
  CLI::App* const command =
      app.add_subcommand("calls", "Keep calls in flight on one lease: calls per second, latency, CPU time per call");
  command->footer(kSeveralValues + "Exit code 0: calls ended in the measured time, and none failed.");
  const auto base = std::make_shared<CallsOptions>();
  const auto output = std::make_shared<OutputOptions>();
  const auto variants = std::make_shared<RunCommand<CallsOptions>>(*command);
  add_common_variants(*variants, "call");
  variants->add_number("--depth", "Calls that run or wait at once [4 times --workers]", &CallsOptions::depth,
                       whole_number(1, 1'000'000), "");
  add_single_options(*command, *base, *output);
  command->callback([base, output, variants, &action] {
    action = [runs = variants->runs(*base), output] { return measure(runs, *output); };
  });
}

}  // namespace lpbench
