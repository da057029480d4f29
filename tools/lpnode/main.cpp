// lpnode lends the pools of this machine to managers elsewhere. main() reads the command line.
#include <CLI/CLI.hpp>
#include <exception>
#include <string>

#include "../common/command_line.hpp"
#include "../common/standard_streams.hpp"
#include "commands.hpp"
#include "config.hpp"
#include "units.hpp"

namespace {

CLI::Option* add_config(CLI::App& app, std::string& into) {
  return app.add_option("--config", into, "The configuration, in TOML: see lpnode(1)")->type_name("FILE");
}

int run(int argc, char** argv) {
  CLI::App app("Lends pools of worker processes that run the functions of a library to managers on other machines, "
               "through a NATS server. Ends on SIGTERM when its last lease has; on SIGINT, or a second SIGTERM, when "
               "its calls have, within stop_timeout.",
               "lpnode");
  app.set_version_flag("--version", "lpnode " LPNODE_VERSION, "Print the version and end");
  app.set_help_flag("--help,-h", "Print this help and end");
  lpnode::RunOptions options;
  app.add_option("--load", options.load, "A library with functions, as dlopen(3) finds it; may be given again")
      ->type_name("FILE")
      ->allow_extra_args(false);
  add_config(app, options.config);
  app.add_flag("--check", options.check, "Only check the configuration and the libraries, and end");

  lpnode::StatusOptions asked;
  CLI::App* const status = app.add_subcommand("status", "Print which nodes there are, and what each has lent");
  add_config(*status, asked.config)->required();
  status->add_option("--pool", asked.pool, "Ask the nodes of this pool, not of the configuration's")->type_name("NAME");
  status->add_option("--wait", "Wait so long for answers, as '500 ms', which is the default")
      ->type_name("DURATION")
      ->each([&](const std::string& text) {
        const auto wait = lpnode::parse_duration(text);
        if (!wait || *wait <= leasepool::Duration::zero()) {
          throw CLI::ValidationError("--wait", "'" + text + "' will not do: give a duration, as '500 ms' or '2 s'");
        }
        asked.wait = *wait;
      });
  status->add_flag("--json", asked.json, "Print a JSON array instead of a table");
  try {
    tools::check_subcommand(app, argc, argv);
    app.parse(argc, argv);
    if (!*status && options.config.empty()) throw CLI::RequiredError("--config");
  } catch (const CLI::ParseError& error) {
    return tools::show(app, error) ? lpnode::kSuccess : lpnode::kUsage;
  }
  return *status ? lpnode::status(asked) : lpnode::run(options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    tools::hold_standard_streams();
    const int exit_code = run(argc, argv);
    tools::flush_output();
    return exit_code;
  } catch (const lpnode::ConfigError& error) {
    tools::complain("lpnode: {}\n", error.what());
    return lpnode::kUsage;
  } catch (const std::exception& error) {
    tools::complain("lpnode: {}\n", error.what());
    return lpnode::kFailure;
  }
}
