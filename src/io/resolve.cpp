// getaddrinfo(3), and its failures as a category of their own.
#include "leasepool/resolve.hpp"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <system_error>

#include "io/socket_address.hpp"

namespace leasepool::detail {

namespace {

class ResolverCategory final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "getaddrinfo"; }
  [[nodiscard]] std::string message(int code) const override { return ::gai_strerror(code); }
};

const std::error_category& resolver_category() noexcept {
  static const ResolverCategory category;
  return category;
}

}  // namespace

std::vector<Address> resolve_here(const std::string& host, const std::string& service) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), service.empty() ? nullptr : service.c_str(), &hints, &found);
  if (failed != 0) {
    const int error = errno;
    if (failed == EAI_MEMORY) throw std::bad_alloc();
    const std::string what = "leasepool: resolve(\"" + host + "\", \"" + service + "\")";
    if (failed == EAI_SYSTEM) throw std::system_error(error, std::generic_category(), what);
    throw std::system_error(failed, resolver_category(), what);
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, &::freeaddrinfo);
  std::vector<Address> addresses;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    SocketAddress address("resolve", UnixEndpoint{.path = "-"});
    address.size = std::min<unsigned>(at->ai_addrlen, SocketAddress::kSize);
    std::memcpy(address.bytes, at->ai_addr, address.size);
    addresses.push_back(to_address(address));
  }
  return addresses;
}

}  // namespace leasepool::detail
