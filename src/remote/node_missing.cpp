// Node in a build without OpenSSL: what it can say is that it is missing.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "base/leak.hpp"
#include "lease/options_check.hpp"
#include "leasepool/node.hpp"
#include "leasepool/node_info.hpp"
#include "loop/deferred.hpp"
#include "loop/loop_core.hpp"

namespace leasepool {

namespace detail {

namespace {

std::unexpected<Error> missing() {
  return failure(Errc::unsupported,
                 "nodes are missing: this build of leasepool was made without them (install libssl-dev and build again "
                 "with -Dremote=enabled)");
}

}  // namespace

class NodeService {
 public:
  explicit NodeService(std::shared_ptr<LoopCore> loop) noexcept : loop_(std::move(loop)) {}
  [[nodiscard]] LoopCore& loop() const noexcept { return *loop_; }

 private:
  const std::shared_ptr<LoopCore> loop_;
};

void check_node_thread(const NodeService& node, const char* verb) { node.loop().check_thread(verb); }

void start_node(const std::shared_ptr<NodeService>& node, DoneCallback done) {
  check_node_thread(*node, "start");
  auto notice = std::make_unique<Notice<void>>(std::move(done));
  notice->set(missing());
  node->loop().defer(std::move(notice));
}

void stop_node(const std::shared_ptr<NodeService>& node, bool /*force*/, DoneCallback done) {
  check_node_thread(*node, "stop");
  auto notice = std::make_unique<Notice<void>>(std::move(done));
  notice->set({});
  node->loop().defer(std::move(notice));
}

void check_ask_nodes(const LoopCore& loop, const RemoteOptions& /*remote*/, Duration /*wait*/) {
  loop.check_thread("ask_nodes");
}

void ask_nodes(const std::shared_ptr<LoopCore>& loop, const RemoteOptions& /*remote*/, Duration /*wait*/,
               NodesCallback done) {
  auto notice = std::make_unique<Notice<std::vector<NodeInfo>>>(std::move(done));
  notice->set(missing());
  loop->defer(std::move(notice));
}

}  // namespace detail

Node::Node(Loop& loop, RemoteOptions /*remote*/, ManagerOptions local)
    : loop_(detail::Access::core(loop)),
      manager_(loop, std::move(local)),
      core_(std::make_shared<detail::NodeService>(loop_)) {}

Node::~Node() = default;

NodeStats Node::stats() const {
  NodeStats stats;
  stats.local = manager_.stats();
  return stats;
}

}  // namespace leasepool
