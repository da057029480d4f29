// The subjects on which managers and nodes meet. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nats/subject.hpp"

namespace leasepool::detail::remote {

// Where managers look for pools; wants.hpp says what level and bucket are.
[[nodiscard]] inline std::string want_subject(const std::string& cluster, const std::string& pool, unsigned level,
                                              std::uint64_t bucket) {
  return "lp.v1." + cluster + "." + pool + ".want." + std::to_string(level) + "." + std::to_string(bucket);
}

// Where a node listens.
[[nodiscard]] inline std::string node_subject(const std::string& cluster, const std::string& name,
                                              std::uint64_t instance) {
  return "lp.v1." + cluster + ".n." + name + "." + std::to_string(instance);
}

// Where managers hear of a node that comes.
[[nodiscard]] inline std::string join_subject(const std::string& cluster, const std::string& pool) {
  return "lp.v1." + cluster + "." + pool + ".join";
}

// Where nodes hear who asks which there are.
[[nodiscard]] inline std::string who_subject(const std::string& cluster, const std::string& pool) {
  return "lp.v1." + cluster + "." + pool + ".who";
}

// Where managers of a cluster listen begins so.
[[nodiscard]] inline std::string managers_prefix(const std::string& cluster) { return "lp.v1." + cluster + ".c."; }

// What a node's name begins with, which is "host-4711": that of its machine.
[[nodiscard]] inline std::string_view host_of(std::string_view node) noexcept {
  const std::size_t digits = node.find_last_not_of("0123456789");
  return digits == std::string_view::npos || node[digits] != '-' ? node : node.substr(0, digits);
}

// One token of a subject.
[[nodiscard]] inline bool is_token(std::string_view text) noexcept {
  return nats::is_subject(text) && text.find_first_of(".*>") == std::string_view::npos;
}

// Where a manager listens begins so. The server's configuration can bind it to the user; "-" is one without a name, or
// with one that is no token.
[[nodiscard]] inline std::string manager_prefix(const std::string& cluster, const std::string& user,
                                                std::uint64_t instance) {
  return managers_prefix(cluster) + (is_token(user) ? user : "-") + "." + std::to_string(instance) + ".";
}

}  // namespace leasepool::detail::remote
