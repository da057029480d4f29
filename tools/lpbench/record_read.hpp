// Reads the runs that `lpbench calls --json` and `lpbench grind --json` printed.
#pragma once

#include <string>
#include <vector>

#include "record.hpp"

namespace lpbench {

// All runs of a file, in their order; one without a label is called after the file if it is alone in it. Throws
// std::runtime_error that names the file and what is wrong with it.
std::vector<RunRecord> read_runs(const std::string& path);

}  // namespace lpbench
