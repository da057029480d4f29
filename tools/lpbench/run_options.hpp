// The options that every measured run has, and those that say what becomes of the runs.
#pragma once

#include <leasepool/options.hpp>

#include <cstddef>
#include <string>
#include <vector>

#include "cores.hpp"
#include "record.hpp"
#include "workloads.hpp"

namespace lpbench {

inline constexpr std::size_t kMaxPayload = std::size_t{64} << 20;

struct RunOptions {
  leasepool::ExecutorBackend backend = leasepool::ExecutorBackend::thread;
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

// What both commands' managers have in common.
leasepool::ManagerOptions manager_options(const RunOptions& options);

}  // namespace lpbench
