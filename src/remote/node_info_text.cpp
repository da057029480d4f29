// What nodes tell of themselves as a table for people and as JSON.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "lease/stats_format.hpp"
#include "lease/text.hpp"
#include "leasepool/node_info.hpp"
#include "remote/node_state_name.hpp"

namespace leasepool {

namespace {

using stats_format::json_array;
using stats_format::JsonObject;

// What another machine sends may hold anything: nothing of it reaches a terminal as it is.
std::string shown(const std::string& text) {
  const std::string quoted = detail::in_quotes(text);
  return quoted.substr(1, quoted.size() - 2);
}

std::string_view backend_name(ExecutorBackend backend) {
  return backend == ExecutorBackend::thread ? "thread" : "process";
}

using Row = std::array<std::string, 9>;

Row row_of(const NodeInfo& node) {
  return {shown(node.name),
          std::string(detail::remote::name_of(node.state)),
          std::to_string(node.pools_free) + "/" + std::to_string(node.pools),
          std::to_string(node.workers_per_pool) + " " + std::string(backend_name(node.backend)),
          std::to_string(node.wants),
          std::to_string(node.functions_count),
          shown(node.version),
          node.build.empty() ? "-" : shown(node.build),
          detail::in_words(node.up_for)};
}

std::string table(const std::vector<Row>& rows) {
  std::array<std::size_t, std::tuple_size_v<Row>> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      line.append(widths[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string json_of(const NodeInfo& node) {
  return JsonObject()
      .add("name", node.name)
      .add("instance", std::to_string(node.instance))
      .add("version", node.version)
      .add("build", node.build)
      .add("state", detail::remote::name_of(node.state))
      .add("up_for", node.up_for)
      .add("backend", backend_name(node.backend))
      .add("pools", std::uint64_t{node.pools})
      .add("pools_free", std::uint64_t{node.pools_free})
      .add("workers_per_pool", std::uint64_t{node.workers_per_pool})
      .add("wants", std::uint64_t{node.wants})
      .add("catalogue", std::to_string(node.catalogue))
      .add("functions_count", std::uint64_t{node.functions_count})
      .raw("functions",
           json_array(node.functions, [](const std::string& name) { return stats_format::json_string(name); }))
      .add("leases_count", std::uint64_t{node.leases_count})
      .raw("leases", json_array(node.leases,
                                [](const NodeInfo::Lease& lease) {
                                  return JsonObject()
                                      .add("owner", lease.owner)
                                      .add("manager", lease.manager)
                                      .add("age", lease.age)
                                      .text();
                                }))
      .add("answered_in", node.answered_in)
      .text();
}

}  // namespace

std::string to_text(const std::vector<NodeInfo>& nodes) {
  if (nodes.empty()) return "no node has answered\n";
  std::vector<Row> rows = {
      {"node", "state", "free pools", "workers", "wants", "functions", "version", "build", "up for"}};
  for (const NodeInfo& node : nodes) rows.push_back(row_of(node));
  std::string text = table(rows);
  for (const NodeInfo& node : nodes) {
    if (node.leases_count == 0) continue;
    text += shown(node.name) + " has lent " + std::to_string(node.leases_count) + ":\n";
    for (const NodeInfo::Lease& lease : node.leases) {
      text += "  " + detail::quoted_owner(lease.owner) + " of " + shown(lease.manager) + " for " +
              detail::in_words(lease.age) + "\n";
    }
  }
  return text;
}

std::string to_json(const std::vector<NodeInfo>& nodes) {
  return json_array(nodes, [](const NodeInfo& node) { return json_of(node); });
}

}  // namespace leasepool
