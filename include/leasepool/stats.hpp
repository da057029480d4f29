// What a manager says about itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "leasepool/duration.hpp"
#include "leasepool/options.hpp"

namespace leasepool {

struct LeaseStats {
  std::uint64_t lease_id = 0;
  std::string owner{};
  Duration age{};
  /// Negative once passed; Duration::max(): never.
  Duration until_soft_expiry{};
  Duration until_hard_expiry{};
  std::size_t calls_running = 0;
  std::size_t calls_queued = 0;
};

struct WaiterStats {
  std::string owner{};
  Duration age{};
};

struct ManagerStats {
  ExecutorBackend backend = ExecutorBackend::thread;
  bool started = false;
  bool stopping = false;
  std::size_t desired = 0, available = 0, leased = 0, total = 0;
  std::size_t max_pools = 0, min_pools = 0, workers_per_pool = 0;
  std::vector<LeaseStats> leases{};
  std::vector<WaiterStats> waiters{};
  /// Since the manager was constructed.
  std::uint64_t acquired = 0, acquires_failed = 0, leases_revoked = 0;
  std::uint64_t calls_completed = 0, calls_failed = 0;
  std::uint64_t workers_started = 0, workers_crashed = 0;
  /// From a worker's death to its replacement being ready; none yet: no value.
  std::optional<Duration> last_replacement_time{};
};

}  // namespace leasepool
