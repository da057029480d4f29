// ProblemLog: which problems are news. What comes again with each attempt is said once a minute, and no more than a few
// lines are. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "leasepool/duration.hpp"

namespace leasepool::detail::remote {

class ProblemLog {
 public:
  static constexpr Duration kAgain = std::chrono::minutes(1);
  static constexpr std::size_t kMost = 8;  // in a minute: several servers have a problem each

  // Whether to say it now; it then counts as said. Throws std::bad_alloc.
  [[nodiscard]] bool is_news(std::string_view problem, TimePoint now) {
    std::erase_if(said_, [now](const Said& said) { return now - said.at >= kAgain; });
    if (said_.size() == kMost) return false;
    if (std::ranges::any_of(said_, [problem](const Said& said) { return said.problem == problem; })) return false;
    said_.push_back({.problem = std::string(problem), .at = now});
    return true;
  }

 private:
  struct Said {
    std::string problem;
    TimePoint at;
  };
  std::vector<Said> said_;  // the oldest first
};

}  // namespace leasepool::detail::remote
