// What the scenarios of the scale program share: the cost of one operation at a size and at a hundredth of it.
#pragma once

#include <time.h>

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "report.hpp"

namespace figures {

// Of what happens on this thread alone: its CPU time, which what else runs on the machine does not show in. Of what
// others take part in: wall time.
enum class Clock { cpu, wall };

class Stopwatch {
 public:
  explicit Stopwatch(Clock clock) : id_(clock == Clock::cpu ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC) {}

  // Of each of so many operations since the last lap.
  double lap(std::size_t operations) {
    const double now = read();
    return (now - std::exchange(begin_, now)) / static_cast<double>(operations);
  }

 private:
  [[nodiscard]] double read() const {
    timespec time{};
    ::clock_gettime(id_, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
  }

  clockid_t id_;
  double begin_ = read();
};

// Nanoseconds of one operation, by its name, once for each pass over all of them.
class Costs {
 public:
  void add(const std::string& operation, double nanoseconds) {
    if (counts_) values_[operation].push_back(nanoseconds);
  }
  // Of the first pass nothing is kept: it warms up.
  void begin_pass(std::size_t pass) { counts_ = pass > 0; }

  [[nodiscard]] const std::map<std::string, std::vector<double>>& values() const noexcept { return values_; }

 private:
  std::map<std::string, std::vector<double>> values_;
  bool counts_ = false;
};

// What is measured at two sizes, with so many passes.
struct Scenario {
  std::string name;
  std::string unit;  // "queued"
  std::size_t small = 0;
  std::size_t large = 0;
  std::function<void(std::size_t size, std::size_t passes, Costs& costs)> measure;
};

// Measures at both sizes in turn and adds a row for each operation.
void compare_sizes(const Options& options, Report& report, const Scenario& scenario);

void scale_calls(const Options& options, Report& report);
void scale_waiters(const Options& options, Report& report);
void scale_leases(const Options& options, Report& report);
void scale_workers(const Options& options, Report& report);

// Memory that worker processes share with the program: holds the functions that wait for it to open.
void map_gate();

}  // namespace figures
