// What the command line can ask for.
#pragma once

#include <leasepool/duration.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace lpnode {

// Exit codes: it went as it should; it did not; the command line or the configuration is wrong.
inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 1;
inline constexpr int kUsage = 2;

struct RunOptions {
  std::string config;
  std::vector<std::string> load;  // besides what the configuration names
  bool check = false;             // only reads the configuration and the libraries
};

// Lends pools until a signal ends it. The program has one thread, and leasepool::init() was not called yet. Throws what
// is to be told to the user.
int run(const RunOptions& options);

struct StatusOptions {
  std::string config;
  std::string pool;  // instead of the configuration's, unless it is empty
  leasepool::Duration wait = std::chrono::milliseconds(500);
  bool json = false;
};

// Prints which nodes there are; fails where there is none. Throws what is to be told to the user.
int status(const StatusOptions& options);

}  // namespace lpnode
