// Whether a thread of this process sleeps in the kernel, or wakes by itself.
#pragma once

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "support/eventually.hpp"

namespace leasepool::test {

// How often a thread has gone to sleep; whoever makes a blocking call once more has slept once more.
inline long sleeps_of(long thread) {
  std::ifstream status("/proc/self/task/" + std::to_string(thread) + "/status");
  const std::string key = "voluntary_ctxt_switches:";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::stol(line.substr(key.size()));
  }
  return -1;
}

// Whether the thread sleeps through some 100 ms. One that polls, at whatever interval up to that, never does.
[[nodiscard]] inline bool sleeps_through(long thread) {
  return eventually([&] {
    const long before = sleeps_of(thread);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return sleeps_of(thread) == before;
  });
}

}  // namespace leasepool::test
