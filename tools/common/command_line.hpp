// What the tools do with a command line that does not name something to do.
#pragma once

#include <CLI/CLI.hpp>

#include <sstream>
#include <string>

#include "standard_streams.hpp"

namespace tools {

// Prints the help or the version that was asked for, or what is wrong. True where it is nothing that is wrong.
inline bool show(const CLI::App& app, const CLI::ParseError& error) {
  std::ostringstream out;
  std::ostringstream wrong;
  const bool is_wrong = app.exit(error, out, wrong) != 0;
  print_text(out.str());
  complain_text(wrong.str());
  return !is_wrong;
}

// Throws what show() shows where the first argument is to be a subcommand and none has that name.
inline void check_subcommand(const CLI::App& app, int argc, const char* const* argv) {
  const std::string name = argc > 1 ? argv[1] : "-";
  if (name.starts_with('-')) return;
  std::string known;
  for (const CLI::App* const command : app.get_subcommands({})) {
    if (command->get_name() == name) return;
    known += (known.empty() ? "" : ", ") + command->get_name();
  }
  throw CLI::ParseError("'" + name + "' is no subcommand; those that there are: " + known, CLI::ExitCodes::ExtrasError);
}

}  // namespace tools
