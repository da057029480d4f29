// The public Node over NodeService: which thread may call what, what an option may be, and what a node is called.
#include "leasepool/node.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/leak.hpp"
#include "lease/options_check.hpp"
#include "loop/loop_core.hpp"
#include "pool/pool.hpp"
#include "remote/connection_options.hpp"
#include "remote/node_service.hpp"

namespace leasepool {

namespace detail {

namespace {

constexpr std::size_t kMaxHost = 48;

// A token of subjects. Two nodes of one name are told apart by their instances.
std::string node_name() {
  utsname names{};
  std::string host = ::uname(&names) == 0 ? names.nodename : "";
  if (host.empty()) host = "unnamed";
  host.resize(std::min(host.size(), kMaxHost));
  std::ranges::replace_if(
      host,
      [](char c) {
        return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_';
      },
      '-');
  return host + "-" + std::to_string(::getpid());
}

void check_on_thread(const NodeService& node, const char* verb) {
  if (node.scheduler().on_thread()) return;
  if (node.scheduler().is_copy()) {
    throw LeasePoolError(Errc::wrong_thread, "node " + node.name() + ": " + verb +
                                                 "() in a process that was forked from the one that made the node: a "
                                                 "child needs a Loop and a node of its own");
  }
  throw LeasePoolError(Errc::wrong_thread, "node " + node.name() + ": " + verb +
                                               "() was called off the loop's thread; use Loop::post() to get there");
}

ManagerOptions of_local_backend(ManagerOptions options) {
  if (options.backend == ExecutorBackend::remote) {
    throw std::invalid_argument(
        "leasepool: ManagerOptions::backend = remote must be process or thread: a node lends pools of its own");
  }
  return options;
}

}  // namespace

void check_node_thread(const NodeService& node, const char* verb) {
  check_on_thread(node, verb);
  if (!node.scheduler().closed()) return;
  throw LeasePoolError(Errc::not_started, "node " + node.name() + ": " + verb + "(): its loop was destroyed");
}

void start_node(const std::shared_ptr<NodeService>& node, DoneCallback done) {
  check_node_thread(*node, "start");
  node->start(std::move(done));
}

void stop_node(const std::shared_ptr<NodeService>& node, bool force, DoneCallback done) {
  check_node_thread(*node, "stop");
  node->stop(force, std::move(done));
}

}  // namespace detail

Node::Node(Loop& loop, RemoteOptions remote, ManagerOptions local)
    : loop_(detail::Access::core(loop)), manager_(loop, detail::of_local_backend(std::move(local))) {
  detail::check_remote_options(remote);
  const std::string name = detail::node_name();
  auto connect = [loop_core = loop_.get(),
                  options = detail::remote::connection_options(remote, "node " + name)](detail::nats::BusOwner& owner) {
    return detail::nats::Connection::make(loop_core->shared_from_this(), options, owner);
  };
  core_ = std::make_shared<detail::NodeService>(loop_, detail::Access::core(manager_), std::move(remote), name,
                                                std::move(connect));
  loop_->attach(*core_);
}

Node::~Node() {
  if (loop_->is_copy()) {
    detail::leak(std::move(core_));
    return;
  }
  detail::check(loop_->on_thread(), "a node is destroyed on its loop's thread");
  core_->shut_down();
  loop_->detach(*core_);
}

NodeStats Node::stats() const {
  detail::check_on_thread(*core_, "stats");
  NodeStats stats = core_->stats();
  stats.local.engine = std::as_const(*loop_).engine().kind();
  return stats;
}

}  // namespace leasepool
