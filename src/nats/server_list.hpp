// The servers that an option names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace leasepool::detail::nats {

struct Server {
  std::string host{};  // a name, or an address without brackets
  std::uint16_t port = 4222;
  bool tls = false;  // asked for by its scheme

  // As people read it: nats://127.0.0.1:4222, tls://[::1]:4222.
  [[nodiscard]] std::string text() const;

  friend bool operator==(const Server& left, const Server& right) noexcept = default;
};

// "nats://host:port, tls://host, [::1]:4222": at least one. Throws std::invalid_argument, naming
// RemoteOptions::servers.
[[nodiscard]] std::vector<Server> parse_servers(std::string_view list);

}  // namespace leasepool::detail::nats
