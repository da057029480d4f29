// Which runs there are.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "run.hpp"

namespace faults {

enum class Occurrences { first_and_last, all };

// "calls" are system calls and operations on the ring, "memory" is allocations; both where it is empty.
[[nodiscard]] std::vector<Run> plan(const Backend& backend, const Baseline& baseline, Occurrences occurrences,
                                    std::string_view kind);

// Of each fault only the runs on the first backend that has the call, threads and processes apart.
void leave_out_repeated(std::vector<Run>& runs);

// The rows, as "recvfrom by worker", of which no backend's scenario has a call.
[[nodiscard]] std::vector<std::string> never_made(const std::map<const Backend*, Baseline>& baselines);

}  // namespace faults
