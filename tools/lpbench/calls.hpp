// `lpbench calls`: its options, what was measured, and how that is shown.
#pragma once

#include <leasepool/duration.hpp>
#include <leasepool/histogram.hpp>
#include <leasepool/options.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "cores.hpp"
#include "workloads.hpp"

namespace lpbench {

inline constexpr std::size_t kMostPayload = std::size_t{64} << 20;

struct CallsOptions {
  leasepool::ExecutorBackend backend = leasepool::ExecutorBackend::thread;
  std::size_t workers = core_count();
  std::size_t depth = 0;  // 0: four times the workers
  std::size_t payload = 0;
  Work work{};
  double warm_up_seconds = 0.5;
  double seconds = 5;
  bool json = false;
};

struct FailureKind {
  std::uint64_t count = 0;
  std::string first_message;
};

// What ended within the measured time.
struct CallsReport {
  CallsOptions options;
  leasepool::Duration elapsed{};
  leasepool::Histogram latency{};  // of the calls that succeeded: from the submission to the callback
  std::map<std::string, FailureKind> failures{};
  leasepool::Duration cpu_here{};        // this process: the loop, and the threads of the thread backend
  leasepool::Duration cpu_in_workers{};  // worker processes and the fork server

  [[nodiscard]] std::uint64_t failure_count() const;
  [[nodiscard]] double calls_per_second() const;
  // CPU time shared out over all calls, failed ones included; zero without a call.
  [[nodiscard]] leasepool::Duration per_call(leasepool::Duration cpu) const;
};

CallsReport run_calls(const CallsOptions& options);

const char* backend_name(leasepool::ExecutorBackend backend);
void print_table(const CallsReport& report);
void print_json(const CallsReport& report);

}  // namespace lpbench
