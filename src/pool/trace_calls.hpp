// A call's part of a trace, as its pool and its lease tell it: how long it waited and ran, where, and what came of it.
#pragma once

#include "base/trace_file.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail {

// Where a worker's calls go, and since when that row is free: the next one begins no earlier.
struct TraceLane {
  TraceRow row{};
  TimePoint free_since{};
};

// Of a job that is about to end at its lease. One that did not begin is left to that. `worker` is the pool's own row
// where calls of several workers go to it.
void trace_run(TraceFile& trace, TraceRow pool, TraceRow worker, const Job& job, TimePoint now) noexcept;
void trace_run(TraceFile& trace, TraceRow pool, TraceLane& lane, const Job& job, TimePoint now) noexcept;

// Of one that has ended without having begun.
void trace_wait(TraceFile& trace, TraceRow pool, const Job& job, TimePoint now) noexcept;

}  // namespace leasepool::detail
