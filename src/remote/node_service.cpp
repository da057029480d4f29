// Starting, draining and stopping a node, and what it logs of its server.
#include "remote/node_service.hpp"

#include <algorithm>
#include <exception>
#include <new>
#include <random>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/in_words.hpp"
#include "shared/build_id.hpp"
#include "shared/registry.hpp"

namespace leasepool::detail {

namespace {

// What managers have to say that they have heard how their leases ended.
constexpr Duration kFarewell = std::chrono::seconds(1);

std::uint64_t new_instance() {
  std::random_device random;
  std::uint64_t instance = 0;
  while (instance == 0) instance = std::uint64_t{random()} << 32 | random();
  return instance;
}

// What is on its way to this node must not exceed what a server keeps for a client that reads slowly, and then cuts
// off: 64 MiB where nobody has set its max_pending. Half of that is shared by all leases.
constexpr std::size_t kMaxUnread = std::size_t{32} << 20;

remote::NodeOptions node_options(const RemoteOptions& options, const std::string& name, const ManagerOptions& local) {
  return {
      .cluster = options.cluster,
      .pool = options.pool,
      .name = name,
      .limits = {.window = std::min(options.window, kMaxUnread / local.max_pools), .max_payload = local.max_payload},
      .heartbeat = options.heartbeat,
      .manager_timeout =
          deadline_after(TimePoint{}, options.node_timeout) == kNever ? Duration::max() : 2 * options.node_timeout};
}

}  // namespace

NodeService::NodeService(std::shared_ptr<Scheduler> scheduler, std::shared_ptr<ManagerCore> manager,
                         RemoteOptions remote, std::string name, MakeBus make_bus)
    : scheduler_(std::move(scheduler)),
      manager_(std::move(manager)),
      remote_(std::move(remote)),
      name_(std::move(name)),
      make_bus_(std::move(make_bus)),
      sink_(std::make_shared<ClosableSink>(manager_->options().log)),
      log_(std::make_shared<LogQueue>(
          *scheduler_, [sink = sink_](const LogRecord& record) { sink->write(record); },
          std::make_shared<LogCounts>())) {}

NodeService::~NodeService() { check(bus_ == nullptr, "a node is shut down before it is destroyed"); }

void NodeService::enter(NodeState next) noexcept {
  const bool starts = state_ == NodeState::stopped && next == NodeState::starting;
  const bool has_started = state_ == NodeState::starting && next == NodeState::running;
  const bool drains = state_ == NodeState::running && next == NodeState::draining;
  const bool stops = (state_ == NodeState::starting || state_ == NodeState::draining) && next == NodeState::stopping;
  const bool has_stopped = (state_ == NodeState::stopping || shut_down_) && next == NodeState::stopped;
  check(starts || has_started || drains || stops || has_stopped,
        "a node starts, runs, drains and stops, in this order");
  state_ = next;
}

void NodeService::start(DoneCallback done) {
  auto notice = std::make_unique<Notice<void>>(std::move(done));
  if (state_ == NodeState::running) {
    notice->set({});
    return scheduler_->defer(std::move(notice));
  }
  start_callbacks_.add(std::move(notice));
  if (state_ == NodeState::stopped) begin_start();  // else it starts already, or will when it has stopped
}

void NodeService::begin_start() {
  enter(NodeState::starting);
  was_connected_ = manager_stopped_ = false;
  last_problem_.clear();
  try {
    timer_.keep();
  } catch (const std::bad_alloc&) {  // there is nothing to be undone
    start_error_ = Error::out_of_memory();
    failed_starts_.take_all(start_callbacks_);
    enter(NodeState::stopping);
    return finish_stop();
  }
  connect();
}

void NodeService::connect() {
  try {
    timer_.set(deadline_after(scheduler_->now(), manager_->options().worker_start_timeout), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->timer_came();
    });
    node_ = std::make_shared<remote::NodeCore>(scheduler_, manager_, node_options(remote_, name_, manager_->options()),
                                               new_instance());
    bus_ = make_bus_(*this);
    node_->attach(*bus_);
    presence_ = std::make_unique<remote::Presence>(*scheduler_, *bus_, remote_.cluster, remote_.pool, node_->instance(),
                                                   [this] { return info(); });
  } catch (const std::bad_alloc&) {
    start_failed(Error::out_of_memory());
  } catch (const std::exception& failed) {  // no random number, no thread
    start_failed(Error::make(Errc::pool_broken,
                             [&] { return "node " + name_ + " cannot start: " + std::string(failed.what()); }));
  }
}

void NodeService::timer_came() {
  timer_.came();
  if (state_ == NodeState::starting) {
    return start_failed(Error::make(Errc::pool_broken, [this] {
      return "node " + name_ + ": no server has taken it in within worker_start_timeout = " +
             in_words(manager_->options().worker_start_timeout) + ": " +
             (last_problem_.empty() ? "none of \"" + remote_.servers + "\" has answered" : last_problem_);
    }));
  }
  if (!manager_stopped_) return stop_manager();
  finish_stop();
}

void NodeService::start_workers() {
  try {
    manager_->start([weak = weak_from_this()](const Result<void>& result) {
      if (const auto self = weak.lock()) self->workers_started(result);
    });
  } catch (const std::bad_alloc&) {
    start_failed(Error::out_of_memory());
  }
}

void NodeService::workers_started(const Result<void>& result) {
  if (state_ != NodeState::starting) return;  // it was stopped meanwhile
  if (!result) return start_failed(result.error());
  enter(NodeState::running);
  started_ = scheduler_->now();
  node_->lend();
  log(LogLevel::info, [this] { return "lends its pools; managers reach it at " + node_->address(); });
  start_callbacks_.tell(*scheduler_, {});
}

// Told when nothing is left of what the start had made.
void NodeService::start_failed(const Error& error) {
  start_error_ = error;
  failed_starts_.take_all(start_callbacks_);
  enter(NodeState::stopping);
  close_bus();
  stop_manager();
}

void NodeService::stop(bool force, DoneCallback done) {
  auto notice = std::make_unique<Notice<void>>(std::move(done));
  if (state_ == NodeState::stopped) {
    notice->set({});
    return scheduler_->defer(std::move(notice));
  }
  if (state_ == NodeState::running) drain();
  stop_callbacks_.add(std::move(notice));
  if (state_ == NodeState::starting) {
    return start_failed(
        Error::make(Errc::cancelled, [this] { return "node " + name_ + " was stopped while it started"; }));
  }
  if (!force || state_ != NodeState::draining) return;
  enter(NodeState::stopping);
  node_->end_leases();
  stop_manager();
}

void NodeService::drain() {
  node_->drain([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->drained();
  });
  enter(NodeState::draining);
  log(LogLevel::info, [this] {
    return "lends no more, and stops when its leases have ended: " + std::to_string(node_->leases()) + " are left";
  });
}

// No lease is left.
void NodeService::drained() {
  if (shut_down_ || !node_) return;
  close_bus();
  if (state_ == NodeState::draining) {
    enter(NodeState::stopping);
    return stop_manager();
  }
  if (manager_stopped_) finish_stop();
}

void NodeService::stop_manager() {
  try {
    manager_->stop([weak = weak_from_this()](const Result<void>& /*always completes*/) {
      if (const auto self = weak.lock()) self->manager_stopped();
    });
  } catch (const std::bad_alloc&) {
    set_timer(remote::kRetry);
  }
}

// Its leases have ended, and their managers are to hear so.
void NodeService::manager_stopped() {
  if (shut_down_ || state_ != NodeState::stopping) return;
  manager_stopped_ = true;
  if (!node_) return finish_stop();
  set_timer(kFarewell);
  node_->bus_has_room();
}

void NodeService::set_timer(Duration delay) noexcept {
  timer_.unset();
  timer_.set(deadline_after(scheduler_->now(), delay), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->timer_came();
  });
}

void NodeService::close_bus() noexcept {
  connected_ = false;
  if (node_) node_->close();
  if (bus_) bus_->close();
  presence_.reset();
  node_.reset();
  bus_.reset();
}

void NodeService::finish_stop() {
  close_bus();
  timer_.disarm();
  enter(NodeState::stopped);
  if (const auto error = std::exchange(start_error_, std::nullopt)) {
    failed_starts_.tell(*scheduler_, std::unexpected(*error));
  }
  stop_callbacks_.tell(*scheduler_, {});
  if (!start_callbacks_.empty()) begin_start();  // asked for while it stopped
}

void NodeService::shut_down() noexcept {
  if (std::exchange(shut_down_, true)) return;
  close_bus();
  timer_.disarm();
  enter(NodeState::stopped);
  const Result<void> gone = std::unexpected(
      Error::make(Errc::cancelled, [this] { return "node " + name_ + " was destroyed before it had started"; }));
  start_callbacks_.tell(*scheduler_, gone);
  failed_starts_.tell(*scheduler_, gone);
  stop_callbacks_.tell(*scheduler_, {});
  log_->deliver();
  sink_->close();
}

void NodeService::bus_connected() {
  connected_ = true;
  if (std::exchange(was_connected_, true)) {
    log(LogLevel::info, [] { return std::string("its server is there again"); });
  } else {
    timer_.unset();
    if (state_ == NodeState::starting) start_workers();
  }
  if (node_) node_->bus_connected();
}

void NodeService::bus_disconnected(const Error& reason) {
  if (std::exchange(connected_, false)) ++disconnects_;
  note_problem(reason);
  if (node_) node_->bus_disconnected(reason);
}

void NodeService::bus_has_room() {
  if (node_) node_->bus_has_room();
}

// Of a node that starts, it is what it listens to that is forbidden: it would never be asked for a pool.
void NodeService::bus_refused(const Error& reason) {
  note_problem(reason);
  if (state_ == NodeState::starting) start_failed(reason);
}

void NodeService::note_problem(const Error& reason) noexcept {
  try {
    last_problem_ = reason.message();
    if (problems_.is_news(last_problem_, scheduler_->now())) log(LogLevel::warning, [this] { return last_problem_; });
  } catch (const std::bad_alloc&) {
    log_->count_dropped(1, {});
  }
}

NodeStats NodeService::stats() const {
  NodeStats stats;
  stats.name = name_;
  stats.cluster = remote_.cluster;
  stats.pool = remote_.pool;
  stats.state = state_;
  stats.servers = remote_.servers;
  stats.connected = connected_;
  stats.last_problem = last_problem_;
  stats.disconnects = disconnects_;
  stats.pools = manager_->options().max_pools;
  if (node_) node_->add_stats(stats);
  if (presence_) stats.refused_messages += presence_->refused();
  stats.local = manager_->stats();
  return stats;
}

NodeInfo NodeService::info() const {
  const ManagerOptions& own = manager_->options();
  NodeStats stats;
  if (node_) node_->add_stats(stats);
  NodeInfo info{.name = name_,
                .instance = stats.instance,
                .version = LEASEPOOL_VERSION,
                .build = node_ && node_->build() != 0 ? build_text(node_->build()) : std::string(),
                .state = state_,
                .up_for = state_ == NodeState::starting ? Duration{} : scheduler_->now() - started_,
                .backend = own.backend,
                .pools = own.max_pools,
                .pools_free = stats.pools_free,
                .workers_per_pool = own.workers_per_pool,
                .wants = stats.wants,
                .catalogue = catalogue_hash(),
                .functions = function_names(),
                .leases_count = stats.leases.size()};
  info.functions_count = info.functions.size();
  for (NodeLeaseStats& lease : stats.leases) {
    info.leases.push_back({.owner = std::move(lease.owner), .manager = std::move(lease.manager), .age = lease.age});
  }
  return info;
}

}  // namespace leasepool::detail
