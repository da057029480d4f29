// The verbs of nodes with callbacks, which are the same in a build that has no nodes.
#include <utility>

#include "lease/options_check.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/node.hpp"
#include "leasepool/node_info.hpp"

namespace leasepool {

void Node::start_async(detail::DoneCallback done) {
  detail::check_callback("start_async", done != nullptr);
  detail::start_node(core_, std::move(done));
}

void Node::stop_async(bool force, detail::DoneCallback done) {
  detail::check_callback("stop_async", done != nullptr);
  detail::stop_node(core_, force, std::move(done));
}

void ask_nodes_async(Loop& loop, const RemoteOptions& remote, TimeSpan wait, detail::NodesCallback done) {
  const auto& core = detail::Access::core(loop);
  detail::check_ask_nodes(*core, remote, wait);
  detail::check_callback("ask_nodes_async", done != nullptr);
  detail::ask_nodes(core, remote, wait, std::move(done));
}

}  // namespace leasepool
