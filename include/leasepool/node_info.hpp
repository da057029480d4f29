// ask_nodes(): which nodes there are in a cluster, as each tells of itself.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "leasepool/awaitable.hpp"
#include "leasepool/backend.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/node_stats.hpp"
#include "leasepool/remote_options.hpp"

namespace leasepool {

/// What a node tells of itself. It is what the other end says: believe it as far as you believe who may publish there.
struct NodeInfo {
  std::string name{};
  std::uint64_t instance = 0;
  std::string version{};  ///< of the library
  std::string build{};    ///< of its functions' files, by their build ids; empty: they have none
  NodeState state = NodeState::stopped;
  Duration up_for{};
  ExecutorBackend backend = ExecutorBackend::process;
  std::size_t pools = 0;
  std::size_t pools_free = 0;
  std::size_t workers_per_pool = 0;
  std::size_t wants = 0;                 ///< of managers, that wait for a pool
  std::uint64_t catalogue = 0;           ///< a hash of all of its functions and their types
  std::size_t functions_count = 0;       ///< of which the first ones follow
  std::vector<std::string> functions{};  ///< by name
  struct Lease {
    std::string owner{};
    std::string manager{};
    Duration age{};
  };
  std::size_t leases_count = 0;  ///< of which the oldest follow
  std::vector<Lease> leases{};
  Duration answered_in{};  ///< from the question to the answer
};

namespace detail {

using NodesCallback = std::move_only_function<void(Result<std::vector<NodeInfo>>)>;

LEASEPOOL_EXPORT void check_ask_nodes(const LoopCore& loop, const RemoteOptions& remote, Duration wait);
LEASEPOOL_EXPORT void ask_nodes(const std::shared_ptr<LoopCore>& loop, const RemoteOptions& remote, Duration wait,
                                NodesCallback done);

}  // namespace detail

/// Awaitable of the nodes of a cluster and a pool, by name: those that have answered `wait` after they were asked. A
/// connection of its own is made for it, and ended. Fails with pool_broken where no server has taken it in within
/// remote.node_timeout, or where its permissions forbid it to ask; the message has the server's address and the reason.
/// Throws std::invalid_argument, LeasePoolError (wrong_thread). Loop thread only.
inline auto ask_nodes(Loop& loop, RemoteOptions remote, TimeSpan wait = std::chrono::milliseconds(500)) {
  detail::check_ask_nodes(*detail::Access::core(loop), remote, wait);
  auto begin = [core = detail::Access::core(loop), remote = std::move(remote),
                wait](detail::AwaitReceiver<std::vector<NodeInfo>> receiver) {
    detail::ask_nodes(core, remote, wait, std::move(receiver));
  };
  return Awaitable<std::vector<NodeInfo>, decltype(begin)>(std::move(begin));
}
LEASEPOOL_EXPORT void ask_nodes_async(Loop& loop, const RemoteOptions& remote, TimeSpan wait,
                                      detail::NodesCallback done);

/// A readable table.
LEASEPOOL_EXPORT std::string to_text(const std::vector<NodeInfo>& nodes);

/// One JSON array; durations in seconds.
LEASEPOOL_EXPORT std::string to_json(const std::vector<NodeInfo>& nodes);

}  // namespace leasepool

#endif
