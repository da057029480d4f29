// The parts of a cluster as processes of their own: what main() does instead of tests where it is told to.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <leasepool/remote_options.hpp>

namespace cluster {

inline constexpr std::size_t kPools = 2;    // of a node
inline constexpr std::size_t kWorkers = 2;  // of a pool

struct PartOptions {
  std::string part;  // "node"; "caller"; "patient", a caller whose calls and leases have no bounds; "grinder"
  std::string servers;
  std::string log;  // "up" once it has started; what it does or hears, a line each
  std::uint64_t id = 0;
  std::chrono::milliseconds heartbeat{20};
  std::chrono::milliseconds node_timeout{300};
};

[[nodiscard]] leasepool::RemoteOptions remote_options(const PartOptions& options);

// Until SIGTERM. A node stops then by force; a caller begins nothing more, and hears of all that it began.
int run_part(const PartOptions& options);

}  // namespace cluster
