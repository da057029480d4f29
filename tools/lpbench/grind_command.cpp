// `lpbench grind` on the command line.
#include <memory>
#include <string>
#include <vector>

#include "grind.hpp"
#include "run_command.hpp"
#include "series.hpp"

namespace lpbench {

namespace {

int measure(const std::vector<GrindOptions>& options, const OutputOptions& output) {
  const std::string note = "Latency: from an item's arrival to its result, the wait for its batch included.\n";
  return measure_series(options.size(), output, note, [&](std::size_t index) {
    const GrindReport report = run_grind(options[index]);
    return EndedRun{.record = report.run, .json = to_json(report), .note = batches_line(report)};
  });
}

}  // namespace

void add_grind_command(CLI::App& app, Action& action) {
  CLI::App* const command =
      app.add_subcommand("grind", "Have items arrive at random at a grinder: items per second, latency, batch sizes");
  command->footer(kSeveralValues + "Exit code 0: items ended in the measured time, and none failed.");
  const auto base = std::make_shared<GrindOptions>();
  const auto output = std::make_shared<OutputOptions>();
  const auto variants = std::make_shared<RunCommand<GrindOptions>>(*command);
  add_common_variants(*variants, "item");
  variants->add_number("--pools", "Pools, and so batches at once", &GrindOptions::pools, whole_number(1, 64), "1");
  variants->add_number("--threshold", "Items that make a batch", &GrindOptions::threshold, whole_number(1, 65'536),
                       "20");
  variants->add_number("--max-wait", "Seconds after which a batch goes anyhow", &GrindOptions::max_wait_seconds,
                       number_of_seconds(0.000'001, 86'400), "0.01");
  variants->add_number("--rate", "Items that arrive in a second, at random moments (Poisson)", &GrindOptions::rate,
                       real_number(0.1, 10'000'000), "1000");
  add_single_options(*command, *base, *output);
  command->callback([base, output, variants, &action] {
    action = [runs = variants->runs(*base), output] { return measure(runs, *output); };
  });
}

}  // namespace lpbench
