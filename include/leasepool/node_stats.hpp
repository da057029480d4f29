// What a node says about itself: as values, as a table for people and as JSON.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "leasepool/detail/export.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/stats.hpp"

namespace leasepool {

/// From stopped on in this order; back to stopped from each, where a start fails or is stopped.
enum class NodeState {
  stopped,
  starting,  ///< asks for the server, then makes its workers
  running,   ///< lends its pools
  draining,  ///< lends no more: what is lent goes on to its end
  stopping,  ///< ends what is left
};

/// A lease of a manager elsewhere.
struct NodeLeaseStats {
  std::uint64_t lease_id = 0;  ///< the manager's number for it
  std::string owner{};
  std::string manager{};  ///< the end of the manager's subject: its name and its instance
  Duration age{};
  Duration until_hard_expiry{};  ///< negative once passed; Duration::max(): never
  std::size_t calls = 0;         ///< that run or wait here
  std::uint64_t resends = 0;     ///< items that went out to the manager more than once
  bool closing = false;          ///< takes no more calls
};

struct NodeStats {
  std::string name{};
  std::string cluster{};
  std::string pool{};
  NodeState state = NodeState::stopped;
  std::uint64_t instance = 0;  ///< drawn at each start, so that managers know a node that has started again; 0: not up
  std::string address{};       ///< the subject at which managers reach it; empty while it is not up
  std::string servers{};       ///< as in RemoteOptions
  bool connected = false;      ///< to one of them
  std::string last_problem{};  ///< what the server, or the way to it, was last found wrong with; empty: nothing yet
  std::uint64_t disconnects = 0;

  std::size_t pools = 0;           ///< how many may be lent: ManagerOptions::max_pools
  std::size_t pools_free = 0;      ///< neither lent nor on offer; 0 unless it is running
  std::size_t pools_on_offer = 0;  ///< held for a moment for a manager that was offered one
  std::vector<NodeLeaseStats> leases{};
  std::size_t managers = 0;  ///< that were heard of
  std::size_t wants = 0;     ///< of managers, that wait for a pool of this node or of another

  /// Since the start.
  std::uint64_t wants_heard = 0;
  std::uint64_t leases_granted = 0;
  std::uint64_t refused_messages = 0;  ///< that were for somebody else, or broke the protocol
  std::uint64_t resends = 0;           ///< of leases that have ended, too

  ManagerStats local{};  ///< of the pools that it lends
};

/// A readable table; that of `local` stands in it, indented.
LEASEPOOL_EXPORT std::string to_text(const NodeStats& stats);

/// One JSON object; durations in seconds.
LEASEPOOL_EXPORT std::string to_json(const NodeStats& stats);

}  // namespace leasepool

#endif
