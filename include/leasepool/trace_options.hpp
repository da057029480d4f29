// TraceOptions: where a manager writes what has happened, and how much of it.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <string>

namespace leasepool {

/// What happened to each call, lease, batch and worker of a manager, as a Chrome trace: a file for Perfetto and
/// chrome://tracing.
struct TraceOptions {
  /// The file, with mode 0600. The first start() makes it, or replaces what was in it, and fails with pool_broken where
  /// that cannot be. Each manager needs one of its own. Empty: no trace.
  std::string path{};
  /// With so many bytes the trace ends, and its last event says so. At least 64 KiB.
  std::size_t max_bytes = std::size_t{64} << 20;
  bool operator==(const TraceOptions&) const = default;
};

}  // namespace leasepool

#endif
