// A process pool's part of a trace: a row for each worker process, with its life and its calls.
#include <new>
#include <string>
#include <utility>

#include "pool/trace_calls.hpp"
#include "processes/process_pool.hpp"

namespace leasepool::detail {

void ProcessPool::trace_spawned(Worker& worker, pid_t pid) noexcept {
  if (!options_.trace) return;
  try {
    const std::string name = "worker " + std::to_string(worker.id()) + " (pid " + std::to_string(pid) + ")";
    const TraceRow row = options_.trace->add_row(options_.trace_row, name);
    worker.trace_lane = {.row = row, .free_since = loop_.now()};
    options_.trace->begin(row, "worker process", worker.trace_lane.free_since, {});
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it has no row
  }
}

void ProcessPool::trace_worker(const Worker& worker, std::string_view what) noexcept {
  if (options_.trace && worker.trace_lane.row.row != 0)
    options_.trace->instant(worker.trace_lane.row, what, loop_.now(), {});
}

void ProcessPool::trace_gone(const Worker& worker) noexcept {
  if (!options_.trace || worker.trace_lane.row.row == 0) return;
  std::string how;
  try {
    how = worker.ended_by_us() ? "ended by its manager" : worker.describe_end();
  } catch (const std::bad_alloc&) {
    how = "no memory";  // short, and so without memory of its own
  }
  options_.trace->end(worker.trace_lane.row, loop_.now(), {{"end", how}});
}

void ProcessPool::end_call(const TraceLane& worker, std::unique_ptr<Job> job) {
  if (options_.trace) {
    // Of calls in a worker's first turn, the clock that their start is told by may be behind its life.
    TraceLane lane{.row = worker.row.row == 0 ? options_.trace_row : worker.row, .free_since = worker.free_since};
    trace_run(*options_.trace, options_.trace_row, lane, *job, loop_.now());
  }
  end_at_lease(std::move(job));
}

void ProcessPool::end_call(const TraceLane& worker, std::unique_ptr<Job> job, Error error) {
  job->fail(std::move(error));
  end_call(worker, std::move(job));
}

}  // namespace leasepool::detail
