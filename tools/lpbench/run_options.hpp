// The options that every measured run has, and those that say what becomes of the runs.
#pragma once

#include <leasepool/options.hpp>
#include <leasepool/remote_options.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "cores.hpp"
#include "record.hpp"
#include "workloads.hpp"

namespace lpbench {

inline constexpr std::size_t kMaxPayload = std::size_t{64} << 20;

struct RunOptions {
  leasepool::ExecutorBackend backend = leasepool::ExecutorBackend::thread;
  leasepool::RemoteOptions remote{};  // of the remote backend alone
  std::size_t workers = core_count();
  std::size_t payload = 0;
  Work work{};
  double warm_up_seconds = 0.5;
  double seconds = 5;
  std::string label{};
  bool progress = false;  // the live line also where stderr is no terminal
  std::string which{};    // of several runs, for the live line: "2/6 "
};

struct OutputOptions {
  bool json = false;
  std::string report{};  // a file to write the page to, if any
};

// A record that says where and when: to be called as the measured time begins.
RunRecord begin_record(std::string command, const RunOptions& options);

const char* backend_name(leasepool::ExecutorBackend backend);

// What the managers of all commands have in common.
leasepool::ManagerOptions manager_options(const RunOptions& options);

// How long to look for a node with a free pool; local pools are there in any case.
inline constexpr std::chrono::seconds kNodePatience{10};
std::optional<leasepool::TimeSpan> acquire_timeout(const RunOptions& options);

}  // namespace lpbench
