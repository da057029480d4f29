// lpnode lends the pools of this machine to managers elsewhere. main() reads the command line.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>

#include "commands.hpp"
#include "config.hpp"

namespace {

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
  app.add_option("--config", options.config, "The configuration, in TOML: see lpnode(1)")
      ->type_name("FILE")
      ->required();
  app.add_flag("--check", options.check, "Only check the configuration and the libraries, and end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? lpnode::kSuccess : lpnode::kUsage;
  }
  return lpnode::run(options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const lpnode::ConfigError& error) {
    fmt::print(stderr, "lpnode: {}\n", error.what());
    return lpnode::kUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "lpnode: {}\n", error.what());
    return lpnode::kFailure;
  }
}
