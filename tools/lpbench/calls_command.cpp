// `lpbench calls` on the command line.
#include <memory>
#include <utility>
#include <vector>

#include "calls.hpp"
#include "run_command.hpp"
#include "series.hpp"

namespace lpbench {

namespace {

int measure(const std::vector<CallsOptions>& options, const OutputOptions& output) {
  return measure_series(options.size(), output, "", [&](std::size_t index) {
    RunRecord run = run_calls(options[index]);
    Json json = to_json(run).json();
    return EndedRun{.record = std::move(run), .json = std::move(json)};
  });
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
