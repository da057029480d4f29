// ask_nodes() over a Census.
#include <memory>
#include <random>
#include <utility>

#include "lease/options_check.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/node_info.hpp"
#include "loop/loop_core.hpp"
#include "pool/pool.hpp"
#include "remote/census.hpp"
#include "remote/connection_options.hpp"

namespace leasepool::detail {

void check_ask_nodes(const LoopCore& loop, const RemoteOptions& remote, Duration wait) {
  loop.check_thread("ask_nodes");
  check_remote_options(remote);
  check_positive("wait of ask_nodes()", wait);
}

void ask_nodes(const std::shared_ptr<LoopCore>& loop, const RemoteOptions& remote, Duration wait, NodesCallback done) {
  std::random_device random;
  const auto census =
      std::make_shared<remote::Census>(loop, remote, wait, std::uint64_t{random()} << 32 | random(),
                                       [core = loop.get()](remote::Census& ended) { core->detach(ended); });
  loop->attach(*census);
  census->start(
      [&](nats::BusOwner& owner) {
        return nats::Connection::make(loop, remote::connection_options(remote, "who asks for nodes"), owner);
      },
      std::move(done));
}

}  // namespace leasepool::detail
