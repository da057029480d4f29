// What a node tells of its leases.
#include <algorithm>
#include <string>

#include "leasepool/detail/access.hpp"
#include "remote/node_core.hpp"
#include "remote/node_held.hpp"
#include "remote/subjects.hpp"

namespace leasepool::detail::remote {

void NodeCore::add_stats(NodeStats& stats) const {
  const TimePoint now = scheduler_->now();
  stats.name = options_.name;
  stats.instance = instance_;
  stats.address = address();
  stats.pools_free = free_pools();
  stats.pools_on_offer = offers_.on_offer();
  stats.managers = peers_.size();
  stats.wants = offers_.wants();
  stats.wants_heard = wants_heard_;
  stats.leases_granted = granted_;
  stats.refused_messages = refused_;
  stats.resends = resent_before_;
  for (const auto& [manager, peer] : busy_) {
    for (const auto& [id, lease] : peer->link.leases) {
      const Held& held = *peer->held.at(id);
      stats.resends += lease.resent();
      stats.leases.push_back({.lease_id = id,
                              .owner = held.owner(),
                              .manager = peer->address.substr(managers_prefix(options_.cluster).size()),
                              .age = now - held.since(),
                              .until_hard_expiry = until(lease.hard_expiry(), now),
                              .calls = lease.open_calls(),
                              .resends = lease.resent(),
                              .closing = held.closes.has_value()});
    }
  }
  std::ranges::sort(stats.leases, std::greater(), &NodeLeaseStats::age);
}

}  // namespace leasepool::detail::remote
