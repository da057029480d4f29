// `lpbench calls` on the command line.
#include <memory>
#include <stdexcept>
#include <string>

#include "calls.hpp"
#include "cli.hpp"

namespace lpbench {

void add_calls_command(CLI::App& app, Action& action) {
  CLI::App* const command =
      app.add_subcommand("calls", "Keep calls in flight on one lease: calls per second, latency, CPU time per call");
  command->footer("Exit code 0: calls ended in the measured time, and none failed.");
  const auto options = std::make_shared<CallsOptions>();
  const auto backend = std::make_shared<std::string>("thread");
  command->add_option("--backend", *backend, "thread or process")
      ->check(CLI::IsMember({"thread", "process"}))
      ->capture_default_str();
  command->add_option("--workers", options->workers, "Threads or processes of the pool")
      ->check(whole_number(1, kMostWorkers))
      ->capture_default_str();
  command->add_option("--depth", options->depth, "Calls that run or wait at once [4 times --workers]")
      ->check(whole_number(1, 1'000'000));
  command->add_option("--payload", options->payload, "Bytes of each call's argument")
      ->check(whole_number(0, kMostPayload))
      ->capture_default_str();
  command
      ->add_option_function<std::string>(
          "--work", [options](const std::string& text) { options->work = parse_work(text); },
          "What each call does: noop, spin:US (burn so many microseconds of CPU time) or sleep:US")
      ->default_str("noop");
  command->add_option("--duration", options->seconds, "Seconds to measure")
      ->check(number_of_seconds(0.001, 86'400))
      ->capture_default_str();
  command->add_option("--warm-up", options->warm_up_seconds, "Seconds of the same before that")
      ->check(number_of_seconds(0, 86'400))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print JSON instead of a table");
  command->callback([options, backend, &action] {
    using enum leasepool::ExecutorBackend;
    options->backend = *backend == "process" ? process : thread;
    action = [options] {
      const CallsReport report = run_calls(*options);
      if (report.latency.count() + report.failure_count() == 0) {
        throw std::runtime_error("calls: no call ended in the measured time: give a longer --duration");
      }
      options->json ? print_json(report) : print_table(report);
      return report.failure_count() == 0 ? kSuccess : kFailure;
    };
  });
}

}  // namespace lpbench
