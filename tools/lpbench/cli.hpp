// What the subcommands share on the command line: how each is added, and checks that say what to do instead.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "exit_codes.hpp"
#include "workloads.hpp"

namespace lpbench {

// What a subcommand does once the command line is known to be right; gives the exit code.
using Action = std::function<int()>;

// Each adds its subcommand, which sets `action` when it is chosen.
void add_calls_command(CLI::App& app, Action& action);
void add_chaos_command(CLI::App& app, Action& action);
void add_files_command(CLI::App& app, Action& action);
void add_grind_command(CLI::App& app, Action& action);
void add_node_command(CLI::App& app, Action& action);
void add_report_command(CLI::App& app, Action& action);

// A whole number from `least` to `most`.
CLI::Validator whole_number(std::uint64_t least, std::uint64_t most);

// A number from `least` to `most`, with or without decimals.
CLI::Validator real_number(double least, double most);

// Seconds from `least` to `most`, with or without decimals.
CLI::Validator number_of_seconds(double least, double most);

// One of these words.
CLI::Validator one_of(std::vector<std::string> words);

// The name of a page, so that no run is overwritten by a slip: it ends in .html.
CLI::Validator page_name();

// noop, spin:US or sleep:US; and what such a text means, once it is known to be one.
CLI::Validator work_text();
Work parse_work(const std::string& text);

}  // namespace lpbench
