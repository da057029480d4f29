// Pool: a bounded number of workers that run jobs. The lease layer knows no more of threads, processes and pools on
// other machines than this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/intrusive_queue.hpp"
#include "base/trace_file.hpp"
#include "leasepool/detail/decode_limits.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/error.hpp"
#include "leasepool/options.hpp"
#include "leasepool/stats.hpp"
#include "pool/log_queue.hpp"

namespace leasepool::detail {

class LoopCore;

// What the pools of one manager count together.
struct PoolTotals {
  std::uint64_t workers_started = 0;
  std::uint64_t workers_crashed = 0;
  std::uint64_t workers_killed = 0;
  std::uint64_t workers_recycled = 0;
  std::size_t spare_workers = 0;  // now
  std::optional<Duration> last_replacement_time;
  std::shared_ptr<LogCounts> log = std::make_shared<LogCounts>();
  // As the worker process that started last has them.
  std::optional<SandboxStats> sandbox;
  KillScope kill_scope = KillScope::none;
  MemoryBound memory_bound = MemoryBound::none;
};

struct PoolOptions {
  std::string name;
  std::size_t workers = 1;
  std::size_t max_payload = 0;
  Duration spin{};
  bool shared_memory = true;
  Duration worker_start_timeout{};
  std::size_t max_calls_per_worker = 0;
  WorkerReuse worker_reuse = WorkerReuse::always;
  std::size_t spare_workers = 0;
  Duration max_worker_age = Duration::max();
  std::size_t max_worker_rss = 0;
  WorkerLimits limits{};
  Initializer initializer{};
  std::string worker_cgroup{};
  Sandbox sandbox{};
  LogSink log;
  std::shared_ptr<PoolTotals> totals;
  DecodeLimits decode_limits{};
  std::size_t decode_thread_threshold = SIZE_MAX;
  // Of a pool that belongs to others: it was lost, and is broken() from now on; not inside a call of the pool, and not
  // after close().
  std::function<void(const Error& why)> lost{};
  std::shared_ptr<TraceFile> trace{};  // null: none
  TraceRow trace_row{};                // the pool's own
};

// How long a lease lasts, from now on.
struct LeaseTerms {
  Duration until_soft = Duration::max();
  Duration grace{};
};

// Calls whose function has returned, and whose result is still to be decoded or on its way to the loop.
enum class Ended { are_spared, are_included };

// Loop thread only. A job may start and end inside the call that hands it over, withdraws, interrupts or aborts it: its
// sink expects that, and tells callers through the scheduler, later. `ready` and `closed` never come inside the call
// that they are given to. Shared, because what is in flight keeps it alive; its user calls close() or close_now()
// before letting go. tests/pool/conformance_test.cpp holds every pool to this.
class Pool {
 public:
  virtual ~Pool() = default;

  // Makes the workers. `ready` gets why that failed, and then nothing is left behind but the pool itself.
  virtual void start(std::move_only_function<void(Result<void>)> ready) = 0;

  // Runs the job when a worker is free, in order; it ends in job->state.lease. Only after start() succeeded.
  virtual void submit(std::unique_ptr<Job> job) = 0;

  // The same for several jobs at once, which may then go to the workers together.
  virtual void submit_batch(IntrusiveQueue<Job> jobs) {
    while (!jobs.empty()) submit(jobs.pop_front());
  }

  // Ends a job that waits for a worker, at once, with `error`. False when it runs already.
  virtual bool withdraw(Job& job, const Error& error) = 0;

  // Ends a job that runs: by killing its worker, then it ends with `error` at once (true); or by asking, where nothing
  // can be killed, and then it ends by itself (false). The worker is replaced.
  virtual bool interrupt(Job& job, Error error) = 0;

  // Whether it can find out where a running job is.
  [[nodiscard]] virtual bool can_note_stacks() const noexcept { return false; }

  // Whether it writes its calls' runs into the trace, each to its worker's row. Else their leases do, to the pool's.
  [[nodiscard]] virtual bool traces_runs() const noexcept { return false; }

  // Has a running job's stack noted, so that the error of a later interrupt() says where it was.
  virtual void note_stack(const Job& /*job*/) {}

  // Whether the calling thread is one of this pool's workers and no other of them is free: a call that waits for
  // another call on this pool would wait for itself. Any thread.
  [[nodiscard]] virtual bool would_wait_for_itself() const noexcept { return false; }

  // Appends its workers, and what they run as far as it knows that. Throws std::bad_alloc.
  virtual void add_workers(std::vector<WorkerStats>& /*workers*/) const {}

  // It cannot have workers any more, or was lost: what waits has failed with pool_broken or node_lost, and so does what
  // is submitted.
  [[nodiscard]] virtual bool broken() const noexcept { return false; }

  // It is lent: the jobs that follow are of this lease. For pools elsewhere, which end it by themselves where they do
  // not hear of this process any more. Throws std::bad_alloc.
  virtual void lease_began(std::string_view /*owner*/, const LeaseTerms& /*terms*/) {}
  // Whoever submitted jobs submits no more, and all have ended: the next ones are another's.
  virtual void lease_ended() {}

  // The lease is to last so long from now on. True: it does. False: it will when `holds` is called, unless the pool is
  // lost before. Throws std::bad_alloc.
  [[nodiscard]] virtual bool extend_lease(const LeaseTerms& /*terms*/, std::move_only_function<void()> /*holds*/) {
    return true;
  }

  // Ends every job: what waits, the oldest first, and what runs, as interrupt() does, but for the lot of them. Where
  // the function has returned, the result is on its way: that is spared, or ends too.
  virtual void abort(const Error& error, Ended ended) = 0;

  // Is given no more jobs, and hands none to a worker: what waits ends with the error, and so does what comes back from
  // a worker that had not begun it. May be repeated, and then the first error stays; each way of closing begins with
  // it.
  virtual void drain(const Error& error) noexcept = 0;

  // Drains; `closed` is called when the jobs that run have ended and every worker is gone. Once, and not after a failed
  // start; while it starts, too, and then `ready` is not called.
  virtual void close(std::move_only_function<void()> closed) noexcept = 0;

  // After close(): ends it at once. Workers that run something are killed, or abandoned where that cannot be done.
  virtual void kill() = 0;

  // For destructors: the same, blocking until it is done, with `deadline` for what cannot be killed.
  virtual void close_now(TimePoint deadline) noexcept = 0;

  // What those who have this pool need as long as they do: so they keep both by one count.
  void keep(std::shared_ptr<const void> kept) noexcept { kept_ = std::move(kept); }

 private:
  std::shared_ptr<const void> kept_;
};

// With which a pool drains that is closed.
inline Error closed_before_begun(const std::string& pool) noexcept {
  return Error::make(Errc::cancelled, [&] { return pool + " closed before the call began"; });
}

// Throws std::invalid_argument. In a build without remote pools nothing is checked: start() says that.
void check_remote_options(const RemoteOptions& options);

// A pool of this machine.
std::shared_ptr<Pool> make_pool(LoopCore& loop, ExecutorBackend backend, PoolOptions options);

}  // namespace leasepool::detail
