// NodeStats as a table for people and as JSON.
#include <string>

#include "lease/stats_format.hpp"
#include "lease/text.hpp"
#include "leasepool/node_stats.hpp"
#include "remote/node_state_name.hpp"

namespace leasepool {

namespace {

using stats_format::json_array;
using stats_format::JsonObject;
using stats_format::line;

std::string time_to_expiry(Duration left) {
  if (left == Duration::max()) return "never";
  return left < Duration::zero() ? detail::in_words(-left) + " ago" : "in " + detail::in_words(left);
}

std::string text_of(const NodeLeaseStats& lease) {
  return "  lease " + std::to_string(lease.lease_id) + " of " + detail::in_quotes(lease.manager) + "  " +
         detail::quoted_owner(lease.owner) + ", held " + detail::in_words(lease.age) + ", hard expiry " +
         time_to_expiry(lease.until_hard_expiry) + ", " + std::to_string(lease.calls) + " calls, " +
         std::to_string(lease.resends) + " sent again" + (lease.closing ? ", closing" : "") + "\n";
}

std::string json_of(const NodeLeaseStats& lease) {
  return JsonObject()
      .add("lease_id", std::to_string(lease.lease_id))
      .add("owner", lease.owner)
      .add("manager", lease.manager)
      .add("age", lease.age)
      .add("until_hard_expiry", lease.until_hard_expiry)
      .add("calls", std::uint64_t{lease.calls})
      .add("resends", lease.resends)
      .add("closing", lease.closing)
      .text();
}

std::string indented(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    result.append("  ").append(text, at, end - at);
    at = end;
  }
  return result;
}

}  // namespace

std::string to_text(const NodeStats& stats) {
  std::string text = "node " + stats.name + " of cluster " + stats.cluster + ", pool " + stats.pool + ": " +
                     std::string(detail::remote::name_of(stats.state)) + "\n";
  text += line("server", (stats.connected ? "connected to one of " : "not connected to any of ") + stats.servers +
                             "; lost " + std::to_string(stats.disconnects) + " times" +
                             (stats.last_problem.empty() ? "" : ", last problem: " + stats.last_problem));
  if (!stats.address.empty()) text += line("address", stats.address);
  text += line("lends", std::to_string(stats.pools) + " pools at most: " + std::to_string(stats.pools_free) +
                            " free, " + std::to_string(stats.pools_on_offer) + " on offer, " +
                            std::to_string(stats.leases.size()) + " lent");
  text += line("managers", std::to_string(stats.managers) + " known, " + std::to_string(stats.wants) +
                               " wants waiting, " + std::to_string(stats.wants_heard) + " heard, " +
                               std::to_string(stats.leases_granted) + " granted");
  text += line("messages", std::to_string(stats.refused_messages) + " refused, " + std::to_string(stats.resends) +
                               " items sent again");
  for (const NodeLeaseStats& lease : stats.leases) text += text_of(lease);
  return text + indented(to_text(stats.local));
}

std::string to_json(const NodeStats& stats) {
  return JsonObject()
      .add("name", stats.name)
      .add("cluster", stats.cluster)
      .add("pool", stats.pool)
      .add("state", detail::remote::name_of(stats.state))
      .add("instance", std::to_string(stats.instance))
      .add("address", stats.address)
      .add("servers", stats.servers)
      .add("connected", stats.connected)
      .add("last_problem", stats.last_problem)
      .add("disconnects", stats.disconnects)
      .add("pools", std::uint64_t{stats.pools})
      .add("pools_free", std::uint64_t{stats.pools_free})
      .add("pools_on_offer", std::uint64_t{stats.pools_on_offer})
      .add("managers", std::uint64_t{stats.managers})
      .add("wants", std::uint64_t{stats.wants})
      .add("wants_heard", stats.wants_heard)
      .add("leases_granted", stats.leases_granted)
      .add("refused_messages", stats.refused_messages)
      .add("resends", stats.resends)
      .raw("leases", json_array(stats.leases, [](const NodeLeaseStats& lease) { return json_of(lease); }))
      .raw("local", to_json(stats.local))
      .text();
}

}  // namespace leasepool
