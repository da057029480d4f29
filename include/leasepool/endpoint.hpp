// Where a socket listens, and where it is connected to.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstdint>
#include <string>
#include <string_view>

#include "leasepool/detail/export.hpp"

namespace leasepool {

/// A TCP address as a parameter; a verb copies it when it is called. `host` is an IPv4 or IPv6 address (resolve() looks
/// names up), `port` is 1 to 65535; to listen, 0 lets the system choose one, and an empty host is every address.
struct Endpoint {
  std::string_view host{};
  int port = 0;
};

/// The same of a Unix socket. A path that begins with a zero byte is in the abstract namespace.
struct UnixEndpoint {
  std::string_view path{};
};

/// An address that was found or asked for: of TCP `host` and `port`, of a Unix socket `path`. All are empty where a
/// socket has none, as one end of a socketpair.
struct LEASEPOOL_EXPORT Address {
  std::string host{};
  std::uint16_t port = 0;
  std::string path{};

  /// To connect to; this lives longer.
  [[nodiscard]] Endpoint endpoint() const noexcept { return {.host = host, .port = port}; }
  /// As people read it: 127.0.0.1:80, [::1]:80, or the path.
  [[nodiscard]] std::string text() const;

  friend bool operator==(const Address& left, const Address& right) noexcept = default;
};

}  // namespace leasepool

#endif
