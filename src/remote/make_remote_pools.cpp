// A manager's remote pools, over a connection to a NATS server.
#include <memory>
#include <random>
#include <utility>

#include "loop/loop_core.hpp"
#include "nats/connection.hpp"
#include "pool/pool_source.hpp"
#include "remote/cluster_client.hpp"
#include "remote/connection_options.hpp"

namespace leasepool::detail {

std::shared_ptr<PoolSource> make_remote_pools(const std::shared_ptr<LoopCore>& loop, const ManagerOptions& options) {
  auto make_bus = [loop, options = options.remote](nats::BusOwner& owner, const std::string& name) {
    return nats::Connection::make(loop, remote::connection_options(options, name), owner);
  };
  std::random_device random;
  const std::uint64_t seed = (std::uint64_t{random()} << 32U) | random();
  return std::make_shared<remote::ClusterClient>(loop, options, std::move(make_bus), seed);
}

}  // namespace leasepool::detail
