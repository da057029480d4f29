// The command line of what measures runs: options that may have several values, which makes a run of each.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli.hpp"
#include "run_options.hpp"

namespace lpbench {

// Of the help of each such command.
inline const std::string kSeveralValues = "An option shown with '...' takes several values, by commas or by being "
                                          "given several times. Each combination is a\n"
                                          "run of its own, one after the other, and all are shown side by side.\n";

// Throws what CLI11 shows as an error of the command line if there are more than can be shown.
void check_run_count(std::size_t count);

// Throws what CLI11 shows where nodes are wanted and no server is named, or the other way round.
void check_servers(bool nodes_wanted, const leasepool::RemoteOptions& remote);

// Options is RunOptions or derived from it.
template <class Options>
class RunCommand {
 public:
  using Apply = std::function<void(Options&, const std::string& value)>;

  explicit RunCommand(CLI::App& command) : command_(&command) {}

  // An option with any number of values, by commas or by being given several times. `apply` gets those that pass.
  void add(const char* name, const char* help, const std::string& shown_default, const CLI::Validator& check,
           Apply apply) {
    const auto values = std::make_shared<std::vector<std::string>>();
    command_->add_option(name, *values, help)
        ->delimiter(',')
        ->allow_extra_args(false)
        ->type_name("VALUE")
        ->default_str(shown_default)
        ->check(check);
    dimensions_.push_back({values, std::move(apply)});
  }

  template <class T, class Base>
  void add_number(const char* name, const char* help, T Base::* member, const CLI::Validator& check,
                  const std::string& shown_default) {
    add(name, help, shown_default, check, [member](Options& options, const std::string& value) {
      std::from_chars(value.data(), value.data() + value.size(), options.*member);
    });
  }

  // Every combination of the values given, the first option changing slowest.
  [[nodiscard]] std::vector<Options> runs(const Options& base) const {
    std::vector<Options> runs = {base};
    for (const Dimension& dimension : dimensions_) {
      if (dimension.values->empty()) continue;
      std::vector<Options> more;
      for (const Options& run : runs) {
        for (const std::string& value : *dimension.values) dimension.apply(more.emplace_back(run), value);
      }
      runs = std::move(more);
      check_run_count(runs.size());
    }
    check_servers(std::ranges::any_of(runs, is_remote), base.remote);
    number_runs(runs);
    return runs;
  }

 private:
  struct Dimension {
    std::shared_ptr<std::vector<std::string>> values;
    Apply apply;
  };

  static bool is_remote(const Options& run) { return run.backend == leasepool::ExecutorBackend::remote; }

  static void number_runs(std::vector<Options>& runs) {
    for (std::size_t index = 0; runs.size() > 1 && index < runs.size(); ++index) {
      runs[index].which = std::to_string(index + 1) + '/' + std::to_string(runs.size()) + ' ';
    }
  }

  CLI::App* command_;
  std::vector<Dimension> dimensions_;
};

// The options of RunOptions that may have several values. `thing` is what is measured: "call".
template <class Options>
void add_common_variants(RunCommand<Options>& command, std::string_view thing) {
  using leasepool::ExecutorBackend;
  const Options defaults;
  command.add("--backend", "thread, process or remote, which is processes of nodes and needs --servers", "thread",
              one_of({"thread", "process", "remote"}), [](Options& options, const std::string& value) {
                options.backend = value == "process"  ? ExecutorBackend::process
                                  : value == "remote" ? ExecutorBackend::remote
                                                      : ExecutorBackend::thread;
              });
  command.add_number("--workers", "Threads or processes of a pool; of a node's, as many as it has at most",
                     &RunOptions::workers, whole_number(1, kMaxWorkers), std::to_string(defaults.workers));
  command.add_number("--payload", ("Bytes of each " + std::string(thing) + "'s argument").c_str(), &RunOptions::payload,
                     whole_number(0, kMaxPayload), "0");
  command.add(
      "--work",
      ("What each " + std::string(thing) + " does: noop, spin:US (burn so many microseconds of CPU time) or sleep:US")
          .c_str(),
      "noop", work_text(), [](Options& options, const std::string& value) { options.work = parse_work(value); });
}

// The others, which have one value, and what is to become of the runs.
void add_single_options(CLI::App& command, RunOptions& run, OutputOptions& output);

}  // namespace lpbench
