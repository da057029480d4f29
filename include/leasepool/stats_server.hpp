// How a program shows what it does: Loop::serve_stats() answers lptop, browsers and Prometheus.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <string>
#include <vector>

#include "leasepool/detail/export.hpp"

namespace leasepool {

struct StatsServerOptions {
  /// Further names by which HTTP clients may ask for it, as "metrics.example.org". An IP address and "localhost" always
  /// may: another name is refused (421), or a web page elsewhere could have a browser read the stats under a name of
  /// its own (DNS rebinding). Of a Unix socket no name is asked for.
  std::vector<std::string> hosts{};
};

/// Where Loop::serve_stats() listens by itself, for the n-th loop of a process that does, from 1 on:
/// $XDG_RUNTIME_DIR/leasepool/PID.sock, and PID-2.sock and so on. Without XDG_RUNTIME_DIR it is
/// /tmp/leasepool-UID/PID.sock.
LEASEPOOL_EXPORT std::string stats_socket_path(int pid, int number = 1);

}  // namespace leasepool

#endif
