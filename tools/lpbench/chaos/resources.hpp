// What a process has, to be compared before and after.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lpbench::chaos {

struct Resources {
  std::size_t threads = 0;
  std::size_t processes = 0;  // below this one
  std::size_t descriptors = 0;
  std::size_t mappings = 0;
  std::size_t resident = 0;   // bytes
  std::size_t allocated = 0;  // bytes that malloc() has handed out
};

// Of this process, with what malloc() keeps for later given back.
Resources resources();

// Waits until there are no more processes than that, and nothing changes for a tenth of a second.
Resources resources_when_settled(std::size_t processes);

// Waits until there are no more threads, processes and descriptors than in `before`, as what ends takes a moment, and
// for ten seconds at most.
Resources resources_at_rest(const Resources& before);

// What there is more of in `after` than a run may leave behind; empty: nothing.
std::vector<std::string> left_behind(const Resources& before, const Resources& after);

// The larger one of each.
Resources most_of(const Resources& one, const Resources& other);

}  // namespace lpbench::chaos
