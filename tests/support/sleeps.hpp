// Whether a thread of this process sleeps in the kernel, or wakes by itself.
#pragma once

#include <sys/syscall.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>

#include "support/eventually.hpp"

namespace leasepool::test {

// What a thread has done up to now. One that sleeps in one and the same system call adds to neither.
struct ThreadActivity {
  long sleeps = -1;                  // how often it has gone to sleep
  std::uint64_t processor_time = 0;  // in nanoseconds; one that spins never goes to sleep
  bool operator==(const ThreadActivity&) const = default;
};

inline ThreadActivity activity_of(long thread) {
  ThreadActivity activity;
  const std::string directory = "/proc/self/task/" + std::to_string(thread);
  std::ifstream status(directory + "/status");
  const std::string key = "voluntary_ctxt_switches:";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) activity.sleeps = std::stol(line.substr(key.size()));
  }
  std::ifstream(directory + "/schedstat") >> activity.processor_time;
  return activity;
}

// Whether the thread waits in that system call, or in one that the kernel began again for it: that has a number of its
// own.
[[nodiscard]] inline bool waits_in(long thread, long system_call) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/syscall");
  long number = -1;
  return (file >> number) && (number == system_call || number == SYS_restart_syscall);
}

// Whether the thread slept for all of this time.
[[nodiscard]] inline bool sleeps_for(long thread, std::chrono::milliseconds span) {
  const ThreadActivity before = activity_of(thread);
  std::this_thread::sleep_for(span);
  return before.sleeps >= 0 && activity_of(thread) == before;
}

// Whether the thread comes to rest and then stays at it: after the first 100 ms that it slept through, it must sleep
// through another 400 ms. One that polls, at whatever interval up to that, does not.
[[nodiscard]] inline bool sleeps_through(long thread) {
  return eventually([&] { return sleeps_for(thread, std::chrono::milliseconds(100)); }) &&
         sleeps_for(thread, std::chrono::milliseconds(400));
}

}  // namespace leasepool::test
