// A manager's remote pools, over a connection to a NATS server.
#include <memory>
#include <random>
#include <utility>

#include "loop/loop_core.hpp"
#include "nats/connection.hpp"
#include "pool/pool_source.hpp"
#include "remote/cluster_client.hpp"

namespace leasepool::detail {

std::shared_ptr<PoolSource> make_remote_pools(const std::shared_ptr<LoopCore>& loop, const ManagerOptions& options) {
  const RemoteOptions& remote = options.remote;
  nats::ConnectionOptions connection{.servers = remote.servers,
                                     .user = remote.user,
                                     .credentials_file = remote.credentials_file,
                                     .ca_file = remote.ca_file,
                                     .cert_file = remote.cert_file,
                                     .key_file = remote.key_file};
  auto make_bus = [loop, connection](nats::BusOwner& owner, const std::string& name) {
    nats::ConnectionOptions named = connection;
    named.name = name;
    return nats::Connection::make(loop, std::move(named), owner);
  };
  std::random_device random;
  const std::uint64_t seed = (std::uint64_t{random()} << 32U) | random();
  return std::make_shared<remote::ClusterClient>(loop, options, std::move(make_bus), seed);
}

}  // namespace leasepool::detail
