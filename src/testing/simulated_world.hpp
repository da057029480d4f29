// SimulatedWorld: what a test decides for all simulated pools, and what it may look at.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "leasepool/duration.hpp"

namespace leasepool::detail {

// Around what a simulated pool does for itself, and around what it calls of others' in that: for tests that count
// allocations.
struct NoGuards {
  struct Own {};
  struct Callers {};
};

template <class Guards>
class SimulatedPool;

template <class Guards = NoGuards>
struct SimulatedWorld {
  std::function<Duration()> next_start_delay = [] { return Duration(0); };
  std::function<bool()> next_start_fails = [] { return false; };
  std::function<Duration()> next_run_time = [] { return Duration(0); };
  bool kills = true;  // as processes
  std::vector<std::weak_ptr<SimulatedPool<Guards>>> pools;
  std::size_t double_leases = 0;  // a pool that got calls of two leases at once
  std::size_t late_submits = 0;   // a pool that got a call after its close
  std::optional<TimePoint> last_failed_start;
};

}  // namespace leasepool::detail
