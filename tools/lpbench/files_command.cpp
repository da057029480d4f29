// `lpbench files` on the command line.
#include <memory>

#include "cli.hpp"
#include "files.hpp"
#include "remote_options.hpp"

namespace lpbench {

void add_files_command(CLI::App& app, Action& action) {
  CLI::App* const command = app.add_subcommand(
      "files", "Work on every file below a directory: inline, on threads, on worker processes and on nodes");
  command->footer(
      "Each file is read and deflated, or hashed, three times: on the loop's own thread, on a pool of threads, and on\n"
      "a pool of worker processes, of which one is crashed on purpose; with --servers a fourth time, on nodes, which\n"
      "must have the same files. Exit code 0: all gave the same result for every file, and no call failed but the one\n"
      "that was to crash and those that the node killed by --kill-node may have run.");
  const auto options = std::make_shared<FilesOptions>();
  command->add_option("DIR", options->directory, "The directory; symlinks are not followed")->capture_default_str();
  command->add_option("--operation", options->operation, "What is done with each file: deflate or hash (CRC-32)")
      ->check(CLI::IsMember({"deflate", "hash"}))
      ->capture_default_str();
  command->add_option("--workers", options->workers, "Threads, and processes, of the pools")
      ->check(whole_number(1, kMaxWorkers))
      ->capture_default_str();
  command->add_option("--in-flight", options->in_flight, "How many calls run or wait at once [4 times --workers]")
      ->check(whole_number(1, 1'000'000));
  command->add_option("--max-files", options->max_files, "Take the first so many files only")
      ->check(whole_number(1, options->max_files))
      ->capture_default_str();
  command->add_flag_callback("--no-crash", [options] { options->crash = false; }, "Do not crash a worker process");
  CLI::Option* const servers = add_remote_options(*command, options->remote);
  command->add_option("--pools", options->pools, "Pools of nodes to have at once")
      ->check(whole_number(1, 64))
      ->needs(servers)
      ->capture_default_str();
  command
      ->add_option("--kill-node", options->kill_node,
                   "Kill this process, a node on this machine, when half of the files are under way")
      ->type_name("PID")
      ->check(whole_number(2, 4'194'304))
      ->needs(servers);
  command->add_flag("--json", options->json, "Print JSON instead of a table");
  command->callback([options, &action] {
    action = [options] {
      const FilesReport report = run_files(*options);
      options->json ? print_json(report) : print_table(report);
      return report.as_it_should_be() ? kSuccess : kFailure;
    };
  });
}

}  // namespace lpbench
