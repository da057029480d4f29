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
    worker.trace_row = options_.trace->add_row(options_.trace_row, name);
    options_.trace->begin(worker.trace_row, "worker process", loop_.now(), {});
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it has no row
  }
}

void ProcessPool::trace_worker(const Worker& worker, std::string_view what) noexcept {
  if (options_.trace && worker.trace_row.row != 0) options_.trace->instant(worker.trace_row, what, loop_.now(), {});
}

void ProcessPool::trace_gone(const Worker& worker) noexcept {
  if (!options_.trace || worker.trace_row.row == 0) return;
  std::string how;
  try {
    how = worker.ended_by_us() ? "ended by its manager" : worker.describe_end();
  } catch (const std::bad_alloc&) {
    how = "no memory";  // short, and so without memory of its own
  }
  options_.trace->end(worker.trace_row, loop_.now(), {{"end", how}});
}

void ProcessPool::end_call(TraceRow worker, std::unique_ptr<Job> job) {
  if (options_.trace) {
    trace_run(*options_.trace, options_.trace_row, worker.row == 0 ? options_.trace_row : worker, *job, loop_.now());
  }
  end_at_lease(std::move(job));
}

void ProcessPool::end_call(TraceRow worker, std::unique_ptr<Job> job, Error error) {
  job->fail(std::move(error));
  end_call(worker, std::move(job));
}

}  // namespace leasepool::detail
