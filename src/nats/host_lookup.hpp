// HostLookup: a host's addresses, found beside the loop, as the C library's resolver blocks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/background_thread.hpp"
#include "leasepool/endpoint.hpp"
#include "leasepool/error.hpp"
#include "loop/deferred.hpp"
#include "loop/inbox.hpp"

namespace leasepool::detail::nats {

class HostLookup final : public BackgroundTask {
 public:
  using Addresses = std::vector<Address>;

  // `found` runs on the loop's thread, unless the loop has gone. Throws std::bad_alloc.
  HostLookup(std::shared_ptr<Inbox> inbox, std::string host, std::string port, Notice<Addresses>::Callback found)
      : inbox_(std::move(inbox)),
        host_(std::move(host)),
        port_(std::move(port)),
        notice_(std::make_unique<Notice<Addresses>>(std::move(found))) {}

  void run() noexcept override;

 private:
  [[nodiscard]] Result<Addresses> look_up() const noexcept;

  const std::shared_ptr<Inbox> inbox_;
  const std::string host_;
  const std::string port_;
  std::unique_ptr<Notice<Addresses>> notice_;
};

}  // namespace leasepool::detail::nats
