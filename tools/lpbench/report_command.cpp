// `lpbench report` on the command line.
#include <fmt/format.h>

#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cli.hpp"
#include "page/page_file.hpp"
#include "record_read.hpp"

namespace lpbench {

namespace {

int report(const std::string& out, const std::vector<std::string>& files) {
  std::vector<RunRecord> runs;
  for (const std::string& file : files) {
    std::vector<RunRecord> found = read_runs(file);
    std::move(found.begin(), found.end(), std::back_inserter(runs));
  }
  if (runs.size() > kMaxRuns) {
    throw std::runtime_error(fmt::format("{} runs are too many: a page holds {} at most", runs.size(), kMaxRuns));
  }
  PageFile(out).write(runs);
  return kSuccess;
}

}  // namespace

void add_report_command(CLI::App& app, Action& action) {
  CLI::App* const command =
      app.add_subcommand("report", "Lay saved runs side by side on one page: throughput, latency, CPU cost");
  command->footer("A run is saved by lpbench calls or lpbench grind with --json > RUN.json; a file may hold several. "
                  "Each is called\n"
                  "by its --label, or else by its file, or by the settings in which it differs from the others.");
  const auto out = std::make_shared<std::string>();
  const auto files = std::make_shared<std::vector<std::string>>();
  command->add_option("OUT", *out, "The page to write, ending in .html")->required()->check(page_name());
  command->add_option("RUN", *files, "The saved runs, in the order in which they are shown")->required();
  command->callback([out, files, &action] { action = [out, files] { return report(*out, *files); }; });
}

}  // namespace lpbench
