// What a manager says about itself: enough to see why a service stalls. As values, as a table for people, as JSON and
// as Prometheus text.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "leasepool/backend.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/error.hpp"
#include "leasepool/histogram.hpp"
#include "leasepool/loop_engine.hpp"
#include "leasepool/sandbox.hpp"

namespace leasepool {

/// How some durations are distributed; at most 0.8 % above what was measured.
struct DurationSummary {
  std::uint64_t count = 0;
  Duration p50{}, p99{}, max{};
  /// What all of them took together, and how many took how long: two readings tell the rate and the distribution of
  /// what was between them.
  Duration sum{};
  std::vector<DurationBucket> buckets{};
};

/// A call that a worker runs now.
struct RunningCall {
  std::uint64_t call_id = 0;
  std::string function{};
  Duration running_for{};
  /// The worker process that runs it, or the thread's id (gettid()), and its number as in WorkerStats; 0: another
  /// machine does, or the call is on its way there.
  int pid = 0;
  std::uint64_t worker_id = 0;
};

/// A worker process or a thread of a manager's pools.
struct WorkerStats {
  /// As the log names it.
  std::string pool{};
  /// From 1 on: of a process never used twice, of a thread its place in the pool.
  std::uint64_t worker_id = 0;
  /// Of the process, or the thread's id (gettid()); 0: it has none yet.
  int pid = 0;
  /// It is being started, and runs no calls yet.
  bool starting = false;
  /// Calls that a worker process was sent; of threads that is not known.
  std::uint64_t calls = 0;
  /// Of a thread also one whose caller was told before it ended.
  std::optional<RunningCall> running{};
};

struct LeaseStats {
  std::uint64_t lease_id = 0;
  std::string owner{};
  /// "file:line" of the acquire.
  std::string acquired_at{};
  Duration age{};
  /// Negative once passed; Duration::max(): never.
  Duration until_soft_expiry{};
  Duration until_hard_expiry{};
  /// Released, and only still lent because its calls have not ended.
  bool draining = false;
  std::size_t calls_running = 0;
  std::size_t calls_queued = 0;
  std::vector<RunningCall> running{};
};

struct WaiterStats {
  std::string owner{};
  Duration age{};
  /// Until its timeout; Duration::max(): it waits as long as it takes.
  Duration until_timeout{};
};

/// What dies with a worker process, whatever its functions started.
enum class KillScope {
  none,           ///< nothing: threads, or no worker has started yet
  process_group,  ///< what has not left the worker's process group
  cgroup,         ///< everything: ManagerOptions::worker_cgroup
};

/// What bounds the memory of a worker process to WorkerLimits::memory.
enum class MemoryBound {
  none,           ///< nothing: no limit was asked for, or no worker has started yet
  address_space,  ///< RLIMIT_AS of each process: what it maps, shared memory that it only writes to excepted
  cgroup,         ///< memory.max of its cgroup: what it and all that it started have in memory together
  both,
};

/// A node that a remote manager knows: one that has lent it a pool, offered one, or said that it has none.
struct RemoteNodeStats {
  std::string node{};
  /// Of the files that its registered functions are in; empty: it has lent nothing yet.
  std::string build{};
  /// To the node and back through the server, as measured last; none: not yet.
  std::optional<Duration> round_trip{};
  /// Since it was heard last.
  Duration last_heard{};
  /// That this manager has there.
  std::size_t leases = 0;
  /// Calls that were sent and have no outcome: of those nobody could say whether they have run if it was lost now.
  std::size_t calls_in_doubt = 0;
  /// Messages' parts that were sent again, as a connection was lost or something did not arrive.
  std::uint64_t resends = 0;
};

struct ManagerStats {
  std::string manager{};
  ExecutorBackend backend = ExecutorBackend::thread;
  bool started = false;
  bool stopping = false;
  /// Pools now, and how many there should be.
  std::size_t desired = 0, available = 0, leased = 0, starting = 0, total = 0;
  std::size_t max_pools = 0, min_pools = 0, workers_per_pool = 0;
  /// Ordered by lease id, so oldest first.
  std::vector<LeaseStats> leases{};
  /// First in line first.
  std::vector<WaiterStats> waiters{};

  /// Since the manager was constructed.
  std::uint64_t acquired = 0;
  std::uint64_t acquires_timed_out = 0;
  std::uint64_t acquires_failed = 0;  ///< for any reason, time-outs included
  std::uint64_t leases_expired = 0;   ///< held past their soft expiry
  std::uint64_t leases_revoked = 0;   ///< held past their hard expiry
  std::uint64_t calls_completed = 0;
  std::uint64_t calls_failed = 0;
  /// calls_failed by kind, those that occurred; remote_exception: the function threw.
  std::vector<std::pair<Errc, std::uint64_t>> calls_failed_by{};
  std::uint64_t workers_started = 0;
  std::uint64_t workers_crashed = 0;  ///< died by themselves
  std::uint64_t workers_killed = 0;   ///< by us, for a time-out, a cancellation or an expiry
  /// Replaced after max_calls_per_worker, for age or memory, or because they have served as worker_reuse says.
  std::uint64_t workers_recycled = 0;
  std::size_t spare_workers = 0;  ///< fresh ones that are ready to take another's place, now
  /// Lines of the workers and about them that went to the log sink, and those for which there was no room.
  std::uint64_t log_lines = 0;
  std::uint64_t log_lines_dropped = 0;
  /// From a worker's death to its replacement being ready; none yet: no value.
  std::optional<Duration> last_replacement_time{};

  /// As the worker process that started last has it.
  KillScope worker_kill_scope = KillScope::none;

  DurationSummary acquire_wait{};  ///< from acquire to grant
  DurationSummary call_wait{};     ///< from submission to the start on a worker
  DurationSummary call_run{};      ///< from the start on a worker to the outcome

  /// As the worker process that started last has it; none before there was one.
  std::optional<SandboxStats> sandbox{};
  /// As that worker has it, too.
  MemoryBound worker_memory_bound = MemoryBound::none;

  /// What the manager's loop runs on; automatic: no loop of the library's, as in a simulation.
  LoopEngine engine = LoopEngine::automatic;

  /// Of a remote manager, ordered by name.
  std::vector<RemoteNodeStats> nodes{};

  /// Of the pools on this machine, those that are being started or ended included.
  std::vector<WorkerStats> workers{};
};

/// A readable table.
LEASEPOOL_EXPORT std::string to_text(const ManagerStats& stats);

/// One JSON object; durations in seconds.
LEASEPOOL_EXPORT std::string to_json(const ManagerStats& stats);

/// Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/), labelled with the manager.
LEASEPOOL_EXPORT std::string to_prometheus(const ManagerStats& stats);

/// The same of several managers, which should differ in name_prefix: each metric is described once, as the format
/// wants it. That of managers and grinders together is in grinder_stats.hpp.
LEASEPOOL_EXPORT std::string to_prometheus(std::span<const ManagerStats> managers);

}  // namespace leasepool

#endif
