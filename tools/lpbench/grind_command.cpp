// `lpbench grind` on the command line.
#include <memory>
#include <stdexcept>
#include <string>

#include "cli.hpp"
#include "grind.hpp"

namespace lpbench {

void add_grind_command(CLI::App& app, Action& action) {
  CLI::App* const command =
      app.add_subcommand("grind", "Have items arrive at random at a grinder: items per second, latency, batch sizes");
  command->footer("Exit code 0: items ended in the measured time, and none failed.");
  const auto options = std::make_shared<GrindOptions>();
  const auto backend = std::make_shared<std::string>("thread");
  command->add_option("--backend", *backend, "thread or process")
      ->check(CLI::IsMember({"thread", "process"}))
      ->capture_default_str();
  command->add_option("--pools", options->pools, "Pools, and so batches at once")
      ->check(whole_number(1, 64))
      ->capture_default_str();
  command->add_option("--workers", options->workers, "Threads or processes of each pool")
      ->check(whole_number(1, kMostWorkers))
      ->capture_default_str();
  command->add_option("--threshold", options->threshold, "Items that make a batch")
      ->check(whole_number(1, 65'536))
      ->capture_default_str();
  command->add_option("--max-wait", options->max_wait_seconds, "Seconds after which a batch goes anyhow")
      ->check(number_of_seconds(0.000'001, 86'400))
      ->capture_default_str();
  command->add_option("--rate", options->rate, "Items that arrive in a second, at random moments (Poisson)")
      ->check(real_number(0.1, 10'000'000))
      ->capture_default_str();
  command->add_option("--payload", options->payload, "Bytes of each item's argument")
      ->check(whole_number(0, kMostPayload))
      ->capture_default_str();
  command
      ->add_option_function<std::string>(
          "--work", [options](const std::string& text) { options->work = parse_work(text); },
          "What each item does: noop, spin:US (burn so many microseconds of CPU time) or sleep:US")
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
      const GrindReport report = run_grind(*options);
      if (report.latency.count() + report.failure_count() == 0) {
        throw std::runtime_error(
            "grind: no item ended in the measured time: give a longer --duration or a higher --rate");
      }
      options->json ? print_json(report) : print_table(report);
      return report.failure_count() == 0 ? kSuccess : kFailure;
    };
  });
}

}  // namespace lpbench
