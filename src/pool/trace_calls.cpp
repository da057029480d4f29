// Runs as spans on rows, waits as spans apart from them, since they overlap.
#include "pool/trace_calls.hpp"

#include <algorithm>
#include <new>
#include <string>

#include "leasepool/error.hpp"

namespace leasepool::detail {

namespace {

std::string outcome_of(const Job& job) noexcept {
  if (job.state.delivered) return "too late";
  const Error* const error = job.error();
  try {
    return error == nullptr ? "ok" : error->code().message();
  } catch (const std::bad_alloc&) {
    return "failed";
  }
}

TimePoint end_of(const Job& job, TimePoint from, TimePoint now) noexcept {
  const TimePoint ended = job.state.ended.load(std::memory_order_relaxed);
  return std::max(from, ended == TimePoint{} ? now : ended);
}

void write_run(TraceFile& trace, TraceRow pool, TraceRow worker, const Job& job, TimePoint from,
               TimePoint to) noexcept {
  const JobState& state = job.state;
  const std::string_view name = job.function_name();
  if (from > state.submitted) {
    const TraceFile::Async wait{.category = "wait", .id = state.id};
    trace.begin(wait, pool, name, state.submitted, {});
    trace.end(wait, pool, name, from, {});
  }
  const std::string outcome = outcome_of(job);
  const TraceArgument owner("owner", state.owner());
  const TraceArgument lease("lease", state.lease_id());
  const TraceArgument call("call", state.id);
  if (worker.row != pool.row) return trace.span(worker, name, from, to, {owner, lease, call, {"outcome", outcome}});
  const TraceFile::Async run{.category = "call", .id = state.id};
  trace.begin(run, pool, name, from, {owner, lease, call, {"outcome", outcome}});
  trace.end(run, pool, name, to, {});
}

}  // namespace

void trace_run(TraceFile& trace, TraceRow pool, TraceRow worker, const Job& job, TimePoint now) noexcept {
  if (!has_started(job)) return;
  const TimePoint started = job.state.started.load(std::memory_order_relaxed);
  write_run(trace, pool, worker, job, started, end_of(job, started, now));
}

void trace_run(TraceFile& trace, TraceRow pool, TraceLane& lane, const Job& job, TimePoint now) noexcept {
  if (!has_started(job)) return;
  const TimePoint started = std::max(lane.free_since, job.state.started.load(std::memory_order_relaxed));
  lane.free_since = end_of(job, started, now);
  write_run(trace, pool, lane.row, job, started, lane.free_since);
}

void trace_wait(TraceFile& trace, TraceRow pool, const Job& job, TimePoint now) noexcept {
  const JobState& state = job.state;
  const TraceFile::Async wait{.category = "wait", .id = state.id};
  const std::string outcome = outcome_of(job);
  trace.begin(wait, pool, job.function_name(), state.submitted,
              {{"owner", state.owner()}, {"lease", state.lease_id()}, {"call", state.id}, {"outcome", outcome}});
  trace.end(wait, pool, job.function_name(), now, {});
}

}  // namespace leasepool::detail
