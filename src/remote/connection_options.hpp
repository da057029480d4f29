// RemoteOptions as those of a connection.
#pragma once

#include <string>

#include "leasepool/remote_options.hpp"
#include "nats/connection.hpp"

namespace leasepool::detail::remote {

// `name` is how the server lists this client, behind the library's.
[[nodiscard]] inline nats::ConnectionOptions connection_options(const RemoteOptions& options, const std::string& name) {
  return {.servers = options.servers,
          .user = options.user,
          .credentials_file = options.credentials_file,
          .ca_file = options.ca_file,
          .cert_file = options.cert_file,
          .key_file = options.key_file,
          .name = "leasepool: " + name,
          .eager_for = options.node_timeout};
}

}  // namespace leasepool::detail::remote
