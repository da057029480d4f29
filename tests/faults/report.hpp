// What came out of all runs: the bad ones as they end, a table by call at the end.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <string>

#include "run.hpp"

namespace faults {

class Report {
 public:
  explicit Report(std::size_t planned, bool verbose) : planned_(planned), verbose_(verbose) {}

  void add(const Run& run, const Outcome& outcome);
  // The table; returns how many were bad.
  std::size_t finish() const;

 private:
  const std::size_t planned_;
  const bool verbose_;
  std::size_t done_ = 0;
  std::map<std::string, std::array<std::size_t, kVerdicts>> by_call_;
};

}  // namespace faults
