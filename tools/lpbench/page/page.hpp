// One self-contained page that lays runs side by side: no script, nothing from elsewhere.
#pragma once

#include <string>
#include <vector>

#include "record.hpp"

namespace lpbench {

// Of one run or more, kMaxRuns at most.
std::string page_of(const std::vector<RunRecord>& runs);

// The parts of it. `names` are those of the runs.
using Names = std::vector<std::string>;
std::string style_sheet();
std::string figures(const std::vector<RunRecord>& runs, const Names& names);
std::string tables(const std::vector<RunRecord>& runs, const Names& names);

// "call", "item", or "call or item" where there are both; and several of it.
std::string thing(const std::vector<RunRecord>& runs);
std::string things(const std::vector<RunRecord>& runs);

}  // namespace lpbench
