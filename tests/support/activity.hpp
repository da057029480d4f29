// How often the threads of some processes have run: one that makes a system call, or anything else, has run once more.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "support/process_state.hpp"

namespace leasepool::test {

struct Activity {
  std::uint64_t nanoseconds = 0;  // on a CPU
  std::uint64_t times = 0;        // that it was given one
  long sleeps = 0;                // system calls that blocked
  std::string name;

  friend bool operator==(const Activity&, const Activity&) = default;
};

// By process and thread. A thread that sleeps all along has the same in two of them; one that ran in between, be it for
// one instruction, has not: /proc/PID/task/TID/schedstat counts each time that it is put on a CPU. No tracer is needed,
// and none disturbs the threads.
using Activities = std::map<std::pair<pid_t, long>, Activity>;

inline Activity activity_of(const std::string& task) {
  Activity activity;
  std::uint64_t waited = 0;
  std::ifstream(task + "/schedstat") >> activity.nanoseconds >> waited >> activity.times;
  std::ifstream status(task + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("voluntary_ctxt_switches:")) activity.sleeps = std::stol(line.substr(line.find(':') + 1));
  }
  std::ifstream comm(task + "/comm");
  std::getline(comm, activity.name);
  return activity;
}

// Of every thread of the processes; of a process that is gone, nothing. The calling thread is left out.
inline Activities activities_of(const std::vector<pid_t>& processes) {
  Activities activities;
  for (const pid_t process : processes) {
    const std::string tasks = "/proc/" + std::to_string(process) + "/task/";
    if (::access(tasks.c_str(), R_OK) != 0) continue;
    for (const long thread : proc::numbers_in(tasks.c_str()).values) {
      if (thread != ::gettid())
        activities.emplace(std::pair(process, thread), activity_of(tasks + std::to_string(thread)));
    }
  }
  return activities;
}

// Those that are not the same in both, as text; empty when nothing ran, began or ended.
inline std::string difference(const Activities& before, const Activities& after) {
  std::string text;
  const auto say = [&](const auto& key, const std::string& name, const std::string& what) {
    text += "process " + std::to_string(key.first) + " thread " + std::to_string(key.second) + " (" + name + ") " +
            what + '\n';
  };
  for (const auto& [key, then] : before) {
    const auto found = after.find(key);
    if (found == after.end()) {
      say(key, then.name, "ended");
    } else if (!(found->second == then)) {
      say(key, then.name,
          "ran " + std::to_string(found->second.times - then.times) + " times, for " +
              std::to_string(found->second.nanoseconds - then.nanoseconds) + " ns");
    }
  }
  for (const auto& [key, now] : after) {
    if (!before.contains(key)) say(key, now.name, "began");
  }
  return text;
}

}  // namespace leasepool::test
