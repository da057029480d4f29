// ServerInfo: what a server says of itself in INFO. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace leasepool::detail::nats {

struct ServerInfo {
  std::string version{};
  std::string nonce{};  // to be signed by who has a key
  std::size_t max_payload = std::size_t{1} << 20;
  bool headers = false;  // servers before 2.2 have none, and say of no subject that nobody listens
  bool tls_required = false;
  bool tls_available = false;
};

// The fields of a JSON object that are needed here; nothing where it is no such object, or one of the fields is of
// another type. Our own reader, as the library has no other use for JSON: it makes no more of what a server sends than
// these, and goes as deep as it says. Throws std::bad_alloc.
[[nodiscard]] std::optional<ServerInfo> parse_server_info(std::string_view json);

}  // namespace leasepool::detail::nats
