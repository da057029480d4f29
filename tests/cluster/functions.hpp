// What the calls of a cluster's tests do: each notes in its node's log that it runs, by a write that outlives kill -9.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cluster {

// A node's environment says where its log is, and how many calls it may run at once.
inline constexpr const char* kLogVariable = "LEASEPOOL_TEST_CLUSTER_LOG";
inline constexpr const char* kAtOnceVariable = "LEASEPOOL_TEST_CLUSTER_AT_ONCE";

// In the log, "run NUMBER PID" of each call; and "crowded NUMBER" where more of them run than may.
std::string noted(std::uint64_t number, std::uint64_t microseconds, std::string ballast);

// What noted() returns.
std::string answer_of(std::uint64_t number, std::size_t ballast);

// One write at the file's end: complete or not there, whoever is killed.
void append_line(const char* file, const std::string& line);

}  // namespace cluster
