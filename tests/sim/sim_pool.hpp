// SimPool: the library's simulated pool. What that allocates for itself neither fails nor counts.
#pragma once

#include "support/memory_pause.hpp"
#include "testing/simulated_pool.hpp"

namespace leasepool::test {

struct AllocationGuards {
  using Own = MemoryPause;
  using Callers = MemoryResume;
};
using SimPool = detail::SimulatedPool<AllocationGuards>;
using SimWorld = detail::SimulatedWorld<AllocationGuards>;

}  // namespace leasepool::test
