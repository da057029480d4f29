// `lpbench node` on the command line.
#include <memory>

#include "node.hpp"
#include "remote_options.hpp"

namespace lpbench {

void add_node_command(CLI::App& app, Action& action) {
  CLI::App* const command =
      app.add_subcommand("node", "Lend pools of this machine to the other commands, there or here, by a NATS server");
  command->footer("Says on a line of its own when it lends. SIGINT and SIGTERM end it, and the leases that it gave.");
  const auto options = std::make_shared<NodeOptions>();
  command->add_option("--pools", options->pools, "Pools to lend, and so leases at once")
      ->check(whole_number(1, 64))
      ->capture_default_str();
  command->add_option("--workers", options->workers, "Worker processes of each pool")
      ->check(whole_number(1, kMaxWorkers))
      ->capture_default_str();
  add_remote_options(*command, options->remote)->required();
  command->callback([options, &action] {
    action = [options] {
      run_node(*options);
      return kSuccess;
    };
  });
}

}  // namespace lpbench
