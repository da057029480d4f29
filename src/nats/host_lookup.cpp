// The resolver's answer, and its failures as errors.
#include "nats/host_lookup.hpp"

#include <new>
#include <system_error>

#include "leasepool/resolve.hpp"

namespace leasepool::detail::nats {

void HostLookup::run() noexcept {
  notice_->set(look_up());
  inbox_->post(std::move(notice_));
}

Result<HostLookup::Addresses> HostLookup::look_up() const noexcept {
  try {
    return resolve_here(host_, port_);
  } catch (const std::system_error& error) {
    return std::unexpected(
        Error::make(Errc::pool_broken, [&] { return "its name cannot be resolved: " + error.code().message(); }));
  } catch (const std::bad_alloc&) {
    return std::unexpected(Error::out_of_memory());
  }
}

}  // namespace leasepool::detail::nats
