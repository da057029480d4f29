// What is written as numbers needs no resolver, and none is asked.
#include "io/socket_address.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

#include "leasepool/error.hpp"

namespace leasepool {

std::string Address::text() const {
  if (host.empty()) return path.starts_with('\0') && path.size() > 1 ? "@" + path.substr(1) : path;
  const bool is_v6 = host.find(':') != std::string::npos;
  return (is_v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

namespace detail {

namespace {

static_assert(sizeof(sockaddr_storage) <= SocketAddress::kSize);

[[noreturn]] void refuse(const char* verb, const char* field, const std::string& value, const std::string& why) {
  throw std::invalid_argument("leasepool: " + std::string(verb) + "(): " + field + " = " + value + " " + why);
}

std::string in_quotes(std::string_view text) { return "\"" + std::string(text) + "\""; }

using AddressInfo = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

AddressInfo parse(const char* verb, const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string service = std::to_string(port);
  const int failed = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &found);
  AddressInfo info(found, &::freeaddrinfo);
  if (failed == EAI_MEMORY) throw std::bad_alloc();
  if (failed != 0 || host.find('\0') != std::string::npos) {
    refuse(verb, "host", in_quotes(host), "is no IPv4 or IPv6 address: look names up with resolve()");
  }
  return info;
}

template <class Ask>
SocketAddress asked_of(int fd, const char* verb, const Ask& ask) {
  SocketAddress address(verb, UnixEndpoint{.path = "-"});
  socklen_t size = SocketAddress::kSize;
  if (ask(reinterpret_cast<sockaddr*>(address.bytes), &size) != 0) {
    throw IoError(std::error_code(errno, std::generic_category()),
                  std::string(verb) + " of descriptor " + std::to_string(fd));
  }
  address.size = size;
  return address;
}

}  // namespace

SocketAddress::SocketAddress(const char* verb, const Endpoint& endpoint, bool to_listen) {
  const int least = to_listen ? 0 : 1;
  if (endpoint.port < least || endpoint.port > 65535) {
    refuse(verb, "port", std::to_string(endpoint.port), "must be " + std::to_string(least) + " to 65535");
  }
  if (endpoint.host.empty() && !to_listen) refuse(verb, "host", "\"\"", "must be an address");
  const AddressInfo info = parse(verb, std::string(endpoint.host), endpoint.port);
  // Where every address is meant, the one for IPv6 takes IPv4, too, but is not there on all systems: the first it is.
  size = info->ai_addrlen;
  std::memcpy(bytes, info->ai_addr, size);
}

SocketAddress::SocketAddress(const char* verb, const UnixEndpoint& endpoint) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const bool is_abstract = endpoint.path.starts_with('\0');
  const std::size_t most = sizeof address.sun_path - (is_abstract ? 0 : 1);
  if (endpoint.path.empty() || endpoint.path.size() > most) {
    refuse(verb, "path", in_quotes(endpoint.path), "must have 1 to " + std::to_string(most) + " bytes");
  }
  if (!is_abstract && endpoint.path.find('\0') != std::string_view::npos) {
    refuse(verb, "path", in_quotes(endpoint.path.substr(0, endpoint.path.find('\0'))), "must have no zero byte");
  }
  endpoint.path.copy(address.sun_path, endpoint.path.size());
  size = static_cast<unsigned>(offsetof(sockaddr_un, sun_path) + endpoint.path.size() + (is_abstract ? 0 : 1));
  std::memcpy(bytes, &address, sizeof address);
}

int family_of(const SocketAddress& address) noexcept {
  return reinterpret_cast<const sockaddr*>(address.bytes)->sa_family;
}

Address to_address(const SocketAddress& address) {
  Address found;
  std::array<char, INET6_ADDRSTRLEN> text{};
  switch (family_of(address)) {
    case AF_INET: {
      sockaddr_in v4{};
      std::memcpy(&v4, address.bytes, sizeof v4);
      if (::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size()) != nullptr) found.host = text.data();
      found.port = ntohs(v4.sin_port);
      break;
    }
    case AF_INET6: {
      sockaddr_in6 v6{};
      std::memcpy(&v6, address.bytes, sizeof v6);
      if (::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size()) != nullptr) found.host = text.data();
      if (v6.sin6_scope_id != 0) found.host += "%" + std::to_string(v6.sin6_scope_id);
      found.port = ntohs(v6.sin6_port);
      break;
    }
    case AF_UNIX: {
      constexpr std::size_t kBefore = offsetof(sockaddr_un, sun_path);
      if (address.size <= kBefore) break;
      const char* const path = reinterpret_cast<const char*>(address.bytes) + kBefore;
      const std::size_t size = address.size - kBefore;
      found.path = path[0] == '\0' ? std::string(path, size) : std::string(path, ::strnlen(path, size));
      break;
    }
    default: break;
  }
  return found;
}

Address address_of(int fd) {
  return to_address(
      asked_of(fd, "local_address", [fd](sockaddr* into, socklen_t* size) { return ::getsockname(fd, into, size); }));
}

Address peer_of(int fd) {
  return to_address(
      asked_of(fd, "peer_address", [fd](sockaddr* into, socklen_t* size) { return ::getpeername(fd, into, size); }));
}

}  // namespace detail

}  // namespace leasepool
