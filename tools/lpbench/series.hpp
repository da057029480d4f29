// A series of runs, one after the other, and what becomes of those that have ended.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "json.hpp"
#include "record.hpp"
#include "run_options.hpp"

namespace lpbench {

struct EndedRun {
  RunRecord record;
  Json json;
  std::string note{};  // lines below the table
};

// Measures so many runs and prints them, as a table with `note` below it or as JSON, and writes the page if that is
// wanted. Where a run fails, a signal comes, or one of the outputs cannot be written, all else is done first; then it
// throws what happened, or gives the exit code that a shell has for the signal.
int measure_series(std::size_t count, const OutputOptions& output, const std::string& note,
                   const std::function<EndedRun(std::size_t)>& measure);

}  // namespace lpbench
