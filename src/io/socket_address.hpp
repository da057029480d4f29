// Addresses of sockets, to the system's form and back.
#pragma once

#include "leasepool/endpoint.hpp"
#include "leasepool/stream.hpp"

namespace leasepool::detail {

// Throw std::system_error.
[[nodiscard]] Address address_of(int fd);
[[nodiscard]] Address peer_of(int fd);

[[nodiscard]] Address to_address(const SocketAddress& address);
[[nodiscard]] int family_of(const SocketAddress& address) noexcept;

}  // namespace leasepool::detail
