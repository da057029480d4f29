// What a manager tells of the nodes that it knows.
#include <algorithm>
#include <utility>

#include "base/in_words.hpp"
#include "lease/text.hpp"
#include "remote/cluster_client.hpp"
#include "shared/build_id.hpp"

namespace leasepool::detail::remote {

std::string ClusterClient::why_none() const {
  const std::string of_pool = "of pool \"" + options_.pool + "\" in cluster \"" + options_.cluster + "\"";
  if (!connected()) {
    return "there is no connection to a NATS server" + (last_reason_ ? ": " + last_reason_->message() : std::string());
  }
  if (peers_.empty()) {
    return (nobody_listens_ ? "there is no node " : "no node ") + of_pool + (nobody_listens_ ? "" : " has answered");
  }
  std::string text = "no node " + of_pool + " has offered one";
  std::size_t named = 0;
  for (const auto& [node, peer] : peers_) {
    if (!peer.busy || named == BusyBody::kMostHolders) continue;
    ++named;
    text += (named == 1 ? "; " : ", ") + std::string("node ") + peer.name + " has " +
            std::to_string(peer.busy->leases) + " leased";
    std::string holders;
    for (const BusyBody::Holder& holder : peer.busy->holders) {
      holders += (holders.empty() ? " to " : ", ") + quoted_owner(holder.owner) + " for " + in_words(holder.age);
    }
    text += holders;
  }
  return text;
}

void ClusterClient::add_to(ManagerStats& stats) const {
  const TimePoint now = scheduler_->now();
  for (const auto& [node, peer] : peers_) {
    RemoteNodeStats row{.node = peer.name,
                        .build = peer.about ? build_text(peer.about->build) : std::string(),
                        .round_trip = peer.round_trip,
                        .last_heard = now - peer.last_heard,
                        .leases = peer.borrowers.size(),
                        .resends = peer.resent};
    for (const auto& [id, lease] : peer.link.leases) {
      row.calls_in_doubt += lease.calls_in_doubt();
      row.resends += lease.resent();
    }
    stats.nodes.push_back(std::move(row));
  }
  std::ranges::sort(stats.nodes, {}, &RemoteNodeStats::node);
}

}  // namespace leasepool::detail::remote
