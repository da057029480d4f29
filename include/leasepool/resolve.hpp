// resolve(): names of hosts to addresses, on a lease of threads, as the C library's resolver blocks.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <string>
#include <string_view>
#include <vector>

#include "leasepool/detail/export.hpp"
#include "leasepool/endpoint.hpp"
#include "leasepool/lease.hpp"

namespace leasepool {

namespace detail {

LEASEPOOL_EXPORT std::vector<Address> resolve_here(const std::string& host, const std::string& service);

}  // namespace detail

/// Awaitable: the TCP addresses of a host, best first, at least one; `service` is a port's number or name, and may be
/// empty. Runs getaddrinfo(3) on the lease, or on what lease.with() returns; it is of threads (one of processes does
/// not know the function). Throws std::system_error with the resolver's own words where there is none, and what run()
/// throws. Both texts are copied.
inline auto resolve(const ExecutorLease& lease, std::string_view host, std::string_view service) {
  return lease.run(detail::resolve_here, std::string(host), std::string(service));
}
inline auto resolve(const LeaseCalls& lease, std::string_view host, std::string_view service) {
  return lease.run(detail::resolve_here, std::string(host), std::string(service));
}

}  // namespace leasepool

#endif
