// Node: lends the pools of this process to managers on other machines, through a NATS server.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <memory>
#include <string>
#include <utility>

#include "leasepool/awaitable.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/manager.hpp"
#include "leasepool/node_stats.hpp"
#include "leasepool/options.hpp"
#include "leasepool/remote_options.hpp"

namespace leasepool {

namespace detail {

class NodeService;

LEASEPOOL_EXPORT void check_node_thread(const NodeService& node, const char* verb);
LEASEPOOL_EXPORT void start_node(const std::shared_ptr<NodeService>& node, DoneCallback done);
LEASEPOOL_EXPORT void stop_node(const std::shared_ptr<NodeService>& node, bool force, DoneCallback done);

}  // namespace detail

/// Lends pools of worker processes, or of threads, to managers elsewhere whose backend is `remote`, whose cluster and
/// pool are the same and who reach the same server. Such a manager can call any function that is registered in this
/// process; what it sends is decoded in the workers, in their sandbox if they have one.
///
/// A node has no name in its options. It is called after the machine and the process, as "web1-4711": the host's name,
/// with a hyphen for each character that is no letter, no digit, no hyphen and no underscore, and the process id.
///
/// Loop thread only. Its destructor kills what runs and leaves nothing behind; managers that have leases here find out
/// by themselves, after reconnect_grace. The loop may be destroyed before it.
class LEASEPOOL_EXPORT Node {
 public:
  /// Of `remote`, reconnect_grace and match are for managers alone. `local` are the options of the pools that are lent:
  /// max_pools is how many at most, log is where the node's own lines go, too. Throws std::invalid_argument naming the
  /// option and its value, LeasePoolError (wrong_thread).
  Node(Loop& loop, RemoteOptions remote, ManagerOptions local);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();

  /// Awaitable: connects, makes min_pools pools, and lends from then on. Starting twice is once. Fails with pool_broken
  /// where no server has taken it in within worker_start_timeout, or where its permissions forbid what a node needs:
  /// the message has the server's address and the reason. It fails as a manager's start where workers cannot be made,
  /// and with unsupported in a build without pools on other machines. A failed start leaves nothing behind and can be
  /// tried again. A server that is lost later is looked for until it is back; that is logged.
  auto start() {
    detail::check_node_thread(*core_, "start");
    auto begin = [core = core_](detail::AwaitReceiver<void> receiver) {
      detail::start_node(core, std::move(receiver));
    };
    return Awaitable<void, decltype(begin)>(std::move(begin));
  }
  void start_async(detail::DoneCallback done);

  /// Awaitable: drains. Lends nothing more and tells its managers so; ends when the last lease has, which is at its
  /// hard expiry at the latest. With `force`, also while it drains already: leases take no more calls, those that wait
  /// fail with cancelled and have not run, those that run get stop_timeout and are then killed (processes) or abandoned
  /// (threads). Their callers are told if the server is there.
  auto stop(bool force = false) {
    detail::check_node_thread(*core_, "stop");
    auto begin = [core = core_, force](detail::AwaitReceiver<void> receiver) {
      detail::stop_node(core, force, std::move(receiver));
    };
    return Awaitable<void, decltype(begin)>(std::move(begin));
  }
  void stop_async(detail::DoneCallback done) { stop_async(false, std::move(done)); }
  void stop_async(bool force, detail::DoneCallback done);

  [[nodiscard]] NodeStats stats() const;

 private:
  friend struct detail::Access;

  std::shared_ptr<detail::LoopCore> loop_;
  LeasedExecutorManager manager_;
  std::shared_ptr<detail::NodeService> core_;
};

}  // namespace leasepool

#endif
