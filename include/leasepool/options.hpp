// Options of a manager and of an acquire, with their defaults and limits.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "leasepool/backend.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/initializer.hpp"
#include "leasepool/log.hpp"
#include "leasepool/remote_options.hpp"
#include "leasepool/sandbox.hpp"
#include "leasepool/trace_options.hpp"

namespace leasepool {

namespace detail {
LEASEPOOL_EXPORT bool shared_memory_by_default() noexcept;
}

/// How long a worker process serves: for ever, one lease, or one call.
enum class WorkerReuse { always, lease, call };

/// What each worker process may use; what is not given is as the program itself has it.
struct WorkerLimits {
  /// Bytes of address space, the program's own included. A function that wants more gets std::bad_alloc. With a
  /// worker_cgroup that has the memory controller also bytes in memory, of all that a worker started together: what
  /// wants more is killed, and worker_crashed says so. start() fails with pool_broken where neither can hold: the
  /// program alone has more address space already, and there is no such cgroup. stats() says what bounds it.
  std::optional<std::size_t> memory{};
  /// CPU time of one call, counted in whole seconds, rounded up: then the worker is killed by SIGXCPU. Positive.
  std::optional<TimeSpan> cpu_time{};
  /// Descriptors open at once, at least 16.
  std::optional<std::size_t> open_files{};
  /// Bytes of a core dump; 0: none.
  std::optional<std::size_t> core_size{};
  /// 0 to 19, added to the program's own: the nicer, the less CPU when others want it.
  int niceness = 0;
  bool operator==(const WorkerLimits&) const = default;
};

struct ManagerOptions {
  ExecutorBackend backend = ExecutorBackend::thread;
  /// How many pools may exist at once. Required: 1 to 65,536.
  std::size_t max_pools = 0;
  /// How many pools are kept ready, 1 to max_pools; of the remote backend also 0.
  std::size_t min_pools = 1;
  /// Threads or processes of one pool, 1 to 1024: so many calls of one lease run at once.
  std::size_t workers_per_pool = 4;
  /// How many units of size_provider() one pool stands for, at least 1.
  std::size_t units_per_pool = 10;
  /// How many units of work there are: target pools = min(max_pools, max(min_pools, ceil(units / units_per_pool))).
  std::function<std::size_t()> size_provider{};
  /// How often size_provider is asked when nobody calls notify_scale_changed().
  TimeSpan check_interval = std::chrono::seconds(120);
  /// The duration of a lease whose acquire names none.
  TimeSpan default_lease_duration = std::chrono::seconds(300);
  /// From soft to hard expiry; may be zero.
  TimeSpan lease_grace = std::chrono::seconds(15);
  /// Names pools and threads in messages, logs, stats and the system's process list: 1 to 64 bytes of UTF-8 without
  /// control characters.
  std::string name_prefix = "leasepool";
  /// How many acquires may wait at once; 0: no limit.
  std::size_t max_waiters = 0;
  /// How many calls of one lease may wait for a worker; 0: no limit.
  std::size_t max_queued_calls = 0;
  /// How long running calls may take to end after stop(); may be zero.
  TimeSpan stop_timeout = std::chrono::seconds(10);
  /// How long a new worker process may take until it is ready.
  TimeSpan worker_start_timeout = std::chrono::seconds(10);
  /// The most bytes that the encoded arguments or the encoded result of one process call may have.
  std::size_t max_payload = std::size_t{64} << 20;
  /// Where warnings and what workers print and log go; none: to stderr, each line with its origin before it.
  LogSink log{};
  /// Replaces a worker process after so many calls; 0: never. This and the two that follow replace one worker of a pool
  /// at a time, between calls, and from nine tenths of the limit on: each worker draws its own, so that those that
  /// started together do not go together.
  std::size_t max_calls_per_worker = 0;
  /// How long a worker process serves, so that no function meets what another has left in it: one that decodes what
  /// strangers send wants WorkerReuse::call. A worker that has served is killed, with what it started as far as
  /// ManagerStats::worker_kill_scope says. Anything but always needs the process backend.
  WorkerReuse worker_reuse = WorkerReuse::always;
  /// How many fresh worker processes each pool keeps ready beyond workers_per_pool, initialized and sandboxed, so that
  /// nobody waits for a new one: at most 1024. None: workers_per_pool where worker_reuse is not always, else 0. Needs
  /// the process backend.
  std::optional<std::size_t> spare_workers{};
  /// Replaces a worker process that is found to be so old when a call of it ends.
  TimeSpan max_worker_age = Duration::max();
  /// Replaces a worker process whose resident memory is found to have more bytes than this when a call ends; 0: never.
  std::size_t max_worker_rss = 0;
  /// Of worker processes; any of them, as worker_cgroup and a sandbox, needs the process backend.
  WorkerLimits worker_limits{};
  /// What each worker, thread or process, runs before its first call: load a model, open a database. One that throws or
  /// crashes fails the start with pool_broken; that of a replacement is tried again, with growing pauses. Of a process
  /// it counts as part of worker_start_timeout.
  Initializer initializer{};
  /// A directory of the cgroup v2 hierarchy that was delegated to this program (systemd: Delegate=yes). Each worker
  /// process gets a cgroup in it: then whatever a function starts dies with its worker, and worker_limits.memory bounds
  /// all of that together, where the memory controller was delegated too and the directory has no processes of its own.
  /// Empty cgroups that programs that are gone have left in it are removed. Empty: what leaves the worker's process
  /// group lives on.
  std::string worker_cgroup{};
  /// What the functions of worker processes may do. A profile but none needs the process backend.
  Sandbox sandbox{};
  /// The longest time that a worker without work, or the loop while calls run, keeps looking for what comes next
  /// instead of sleeping: it saves the microseconds of a wake-up where calls are short and many. Less, down to nothing,
  /// where that has not paid lately or other threads want the processor. Zero: never; at most 1 ms.
  TimeSpan spin = std::chrono::microseconds(50);
  /// Whether calls cross to worker processes through memory that both share, 140 KiB a worker, instead of through a
  /// socket: many times as many a second. The environment's LEASEPOOL_SHARED_MEMORY=0 makes false the default.
  bool shared_memory = detail::shared_memory_by_default();
  /// The most bytes of memory that the decoded result of one process call may have beside itself: what is in its
  /// containers and texts, and what its pointers own. The call fails with payload_too_large where it is more. A worker
  /// that was taken over can send bytes of which each becomes forty. None: eight times max_payload, at least 64 MiB.
  std::optional<std::size_t> max_decoded_bytes{};
  /// A result of a process call with more encoded bytes than this, or with descriptors, is decoded on a thread that its
  /// pool makes for it, so that the loop goes on meanwhile. Its type's own load() and constructors run there.
  /// SIZE_MAX: everything on the loop's thread.
  std::size_t decode_thread_threshold = std::size_t{64} << 10;
  /// The longest time that decoding the result of one process call may take; then the call fails with bad_payload, and
  /// its worker lives. A worker that was taken over can send keys that all fall into one bucket of a hash table.
  /// Positive. A load() of the type's own is not interrupted.
  TimeSpan decode_timeout = std::chrono::seconds(10);
  /// Where the pools of the remote backend are. max_pools is then what this manager holds at once, and min_pools, which
  /// may be 0, what it keeps ready, and nobody else gets meanwhile; a lease runs as many calls at once as the smaller
  /// workers_per_pool of manager and node. What workers are and may do says the node: worker_limits, worker_cgroup,
  /// max_calls_per_worker, worker_reuse, spare_workers, max_worker_age, max_worker_rss, initializer and sandbox are
  /// refused here. worker_start_timeout is how long start() waits for the server. Results are decoded on the loop's
  /// thread, whatever decode_thread_threshold says.
  RemoteOptions remote{};
  /// Writes a trace of what happens to calls, leases, batches and workers.
  TraceOptions trace{};
};

struct AcquireOptions {
  /// Names the holder in errors and stats, where messages show at most its first 64 bytes. Copied inside the call.
  std::string_view owner{};
  /// Until soft expiry; none: the manager's default_lease_duration. Positive.
  std::optional<TimeSpan> lease_duration{};
  /// false: fail with lease_unavailable at once instead of waiting.
  bool wait = true;
  /// How long to wait; none: as long as it takes. Positive.
  std::optional<TimeSpan> timeout{};
};

}  // namespace leasepool

#endif
