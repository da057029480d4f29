// What the system says of processes: the time on processors that each took since it was looked at before, and its
// memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

namespace lptop {

struct ProcessUse {
  std::optional<double> cpu_percent;  // of one processor; none when it is looked at first
  std::uint64_t resident = 0;         // bytes
};

class Processes {
 public:
  using Clock = std::chrono::steady_clock;

  // None where there is no such process, or no way to look at it. A thread's id does, too.
  std::optional<ProcessUse> use_of(int pid);
  // Forgets what was not asked for since the last call of this.
  void end_round();

 private:
  struct Seen {
    double cpu_seconds = 0;
    Clock::time_point when{};
    bool asked_for = true;
  };
  std::map<int, Seen> seen_;
};

}  // namespace lptop
