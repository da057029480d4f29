// Options of a grinder, of its items and of its batch functions, with their defaults and limits.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "leasepool/duration.hpp"

namespace leasepool {

struct GrinderOptions {
  /// A batch goes as soon as so many items wait: 1 to 65,536. No batch has more.
  std::size_t batch_size_threshold = 20;
  /// ... or when the one that has waited longest has waited so long. Positive; Duration::max(): only by size.
  TimeSpan max_wait = std::chrono::seconds(10);
  /// Of the lease that each batch takes, until soft expiry. Positive. An item that has not ended at hard expiry
  /// (lease_duration and the manager's lease_grace) fails with lease_expired.
  TimeSpan lease_duration = std::chrono::seconds(60);
  /// Names the grinder in messages, logs and stats; its leases' owner is this and the batch's number. 1 to 64 bytes of
  /// UTF-8 without control characters.
  std::string owner_prefix = "work-grinder";
  /// How many items may wait; 0: no limit. One more fails with queue_full, or waits for room with submit_when_room().
  std::size_t max_pending = 0;
  /// How many batches may have a lease at once; 0: as many as the manager may have pools.
  std::size_t max_inflight_batches = 0;
  /// An item is taken before those of one priority less that were submitted up to so long before it. Positive; from 30
  /// days on, priorities are strict, and an item may starve behind more urgent ones.
  TimeSpan ageing = std::chrono::seconds(1);
  /// How long stop() goes on with what is queued and in flight; what is left then is cancelled. May be zero;
  /// Duration::max(): as long as it takes.
  TimeSpan stop_timeout = Duration::max();
};

struct ItemOptions {
  /// Names whose item it is in errors and stats, where messages show at most its first 64 bytes. Copied inside the
  /// call.
  std::string_view owner{};
  /// -1000 to 1000; higher ones are taken first. GrinderOptions::ageing says how long that can last.
  int priority = 0;
  /// How long the function may run, as CallOptions::timeout. Positive. A batch function has the shortest one of its
  /// items.
  std::optional<TimeSpan> timeout{};
};

struct BatchOptions {
  /// When a call fails (an exception, a crash, a wrong number of results, too large a payload, on worker processes also
  /// a time-out), its items are halved and called again until only those fail that fail alone. The function then sees
  /// items more than once. Each call has its whole ItemOptions::timeout. A thread's call that timed out is not
  /// repeated: it still runs.
  bool isolate_failures = false;
};

}  // namespace leasepool

#endif
