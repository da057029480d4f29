// A thread pool's part of a trace: a row for each thread, with its life and its calls.
#include <algorithm>
#include <new>
#include <string>

#include "threads/thread_pool.hpp"

namespace leasepool::detail {

// The last thread has started.
void ThreadPool::trace_start() noexcept {
  try {
    lanes_.reserve(options_.workers);
    const std::string name = options_.name + "/" + std::to_string(threads_.size());  // as the system has it
    const TraceRow row = options_.trace->add_row(options_.trace_row, name);
    lanes_.push_back({.row = row, .free_since = {}});
    options_.trace->begin(row, "thread", loop_.now(), {});
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): its calls go to the pool's row
  }
}

void ThreadPool::trace_end(const Job& job) noexcept {
  TraceFile& trace = *options_.trace;
  if (job.state.thread < lanes_.size()) {
    return trace_run(trace, options_.trace_row, lanes_[job.state.thread], job, loop_.now());
  }
  trace_run(trace, options_.trace_row, options_.trace_row, job, loop_.now());
}

// Those of threads that were abandoned may still run.
void ThreadPool::trace_close() noexcept {
  for (const TraceLane& lane : lanes_) options_.trace->end(lane.row, std::max(loop_.now(), lane.free_since), {});
  lanes_.clear();
}

}  // namespace leasepool::detail
