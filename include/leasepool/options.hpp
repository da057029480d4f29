// Options of a manager and of an acquire, with their defaults and limits.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "leasepool/duration.hpp"

namespace leasepool {

/// What a pool is made of.
enum class ExecutorBackend { thread, process };

enum class LogLevel { debug, info, warning, error };

/// Receives what a manager has to say; called on the loop's thread. What it throws is dropped, and the line goes to
/// stderr instead.
using LogSink = std::function<void(LogLevel, std::string_view)>;

struct ManagerOptions {
  ExecutorBackend backend = ExecutorBackend::thread;
  /// How many pools may exist at once. Required: 1 to 65,536.
  std::size_t max_pools = 0;
  /// How many pools are kept ready, 1 to max_pools.
  std::size_t min_pools = 1;
  /// Threads or processes of one pool, 1 to 1024: so many calls of one lease run at once.
  std::size_t workers_per_pool = 4;
  /// How many units of size_provider() one pool stands for, at least 1.
  std::size_t units_per_pool = 10;
  /// How many units of work there are: target pools = min(max_pools, max(min_pools, ceil(units / units_per_pool))).
  std::function<std::size_t()> size_provider{};
  /// How often size_provider is asked when nobody calls notify_scale_changed().
  Duration check_interval = std::chrono::seconds(120);
  /// The duration of a lease whose acquire names none.
  Duration default_lease_duration = std::chrono::seconds(300);
  /// From soft to hard expiry; may be zero.
  Duration lease_grace = std::chrono::seconds(15);
  /// Names pools and threads in messages, logs, stats and the system's process list: 1 to 64 bytes of UTF-8 without
  /// control characters.
  std::string name_prefix = "leasepool";
  /// How many acquires may wait at once; 0: no limit.
  std::size_t max_waiters = 0;
  /// How many calls of one lease may wait for a worker; 0: no limit.
  std::size_t max_queued_calls = 0;
  /// How long running calls may take to end after stop(); may be zero.
  Duration stop_timeout = std::chrono::seconds(10);
  /// How long a new worker process may take until it is ready.
  Duration worker_start_timeout = std::chrono::seconds(10);
  /// The most bytes that the encoded arguments or the encoded result of one process call may have.
  std::size_t max_payload = std::size_t{64} << 20;
  /// Where warnings go; none: to stderr.
  LogSink log{};
  /// Replaces a worker process after so many calls, one of a pool at a time; 0: never.
  std::size_t max_calls_per_worker = 0;
};

struct AcquireOptions {
  /// Names the holder in errors and stats, where messages show at most its first 64 bytes. Copied inside the call.
  std::string_view owner{};
  /// Until soft expiry; none: the manager's default_lease_duration. Positive.
  std::optional<Duration> lease_duration{};
  /// false: fail with lease_unavailable at once instead of waiting.
  bool wait = true;
  /// How long to wait; none: as long as it takes. Positive.
  std::optional<Duration> timeout{};
};

}  // namespace leasepool
