// A manager's connection to nodes: its start and its end, messages that come, and who is lost.
#include "remote/cluster_client.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/in_words.hpp"
#include "leasepool/detail/access.hpp"
#include "remote/remote_pool.hpp"
#include "remote/subjects.hpp"
#include "shared/registry.hpp"

namespace leasepool::detail::remote {

namespace {

// Is told of a lease that nobody has any more.
struct Nobody final : ManagerLeaseSink {
  void outcome_came(const OutcomeHead& /*head*/, std::span<const std::byte> /*bytes*/) override {}
  void extension_holds() override {}
  void lease_closed(CloseReason /*reason*/) override {}
};

}  // namespace

ClusterClient::ClusterClient(std::shared_ptr<Scheduler> scheduler, const ManagerOptions& options, MakeBus make_bus,
                             std::uint64_t seed)
    : scheduler_(std::move(scheduler)),
      options_(options.remote),
      manager_(options.name_prefix),
      max_payload_(options.max_payload),
      start_timeout_(options.worker_start_timeout),
      make_bus_(std::move(make_bus)),
      random_(seed),
      instance_(random_() | 1U),  // 0 is everybody
      address_(manager_prefix(options_.cluster, options_.user, instance_)),
      wants_([this](std::uint64_t below) { return below <= 1 ? 0 : random_() % below; }) {}

ClusterClient::~ClusterClient() { close(); }

bool ClusterClient::open(std::move_only_function<void(Result<void>)> ready) {
  auto notice = std::make_unique<Notice<void>>(std::move(ready));
  if (options_.match == RemoteMatch::build) {
    build_ = functions_build();
    if (build_ == 0) {
      notice->set(failure(Errc::unsupported,
                          "RemoteOptions::match = build needs a build id in each file that has registered functions: "
                          "link them with -Wl,--build-id"));
      scheduler_->defer(std::move(notice));
      return false;
    }
  }
  timer_.keep();
  start_timer_.keep();
  bus_ = make_bus_(*this, manager_);
  (void)bus_->subscribe(address_ + "*", [this](const nats::BusMessage& message) { take_message(message); });
  (void)bus_->subscribe(join_subject(options_.cluster, options_.pool),
                        [this](const nats::BusMessage& message) { take_join(message); });
  opening_ = std::move(notice);
  last_reason_.reset();
  start_timer_.set(deadline_after(scheduler_->now(), start_timeout_), [this] { start_timed_out(); });
  return false;
}

void ClusterClient::start_timed_out() {
  start_timer_.came();
  finish_open(std::unexpected(Error::make(Errc::pool_broken, [this] {
    return "no connection to a NATS server of RemoteOptions::servers = \"" + options_.servers +
           "\" within worker_start_timeout = " + in_words(start_timeout_) +
           (last_reason_ ? ": " + last_reason_->message() : ": none has answered");
  })));
}

void ClusterClient::finish_open(const Result<void>& result) {
  if (!opening_) return;
  start_timer_.unset();
  opening_->set(result);
  scheduler_->defer(std::move(opening_));
}

// Whatever its pools had is ended by now; nodes that do not hear of it find out by themselves.
void ClusterClient::close() noexcept {
  check(seeking_.empty(), "pools are closed before what they share");
  try {
    if (bus_) pump_once();
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then nodes are not told
  }
  opening_.reset();
  was_connected_ = false;
  timer_.disarm();
  start_timer_.disarm();
  if (const auto bus = std::exchange(bus_, nullptr)) bus->close();
  peers_.clear();
}

std::shared_ptr<Pool> ClusterClient::make_pool(PoolOptions options) {
  return std::make_shared<RemotePool>(shared_from_this(), std::move(options));
}

void ClusterClient::bus_connected() {
  const TimePoint now = scheduler_->now();
  if (std::exchange(was_connected_, true)) {
    reconnected_at_ = now;
    log_.tell(LogLevel::info, [] { return std::string("the connection to a NATS server is there again"); });
  }
  last_reason_.reset();
  for (auto& [node, peer] : peers_) {
    peer.link.send_again();
    peer.link.liveness.connected(now);
  }
  all_asked_at_.reset();
  wants_.forget_nodes();
  wants_.ask_again(now);
  look_for_nodes();
  finish_open({});
  pump_soon();
}

// That an attempt to connect has failed comes here, too.
void ClusterClient::bus_disconnected(const Error& reason) {
  const bool was_connected = !last_reason_.has_value();
  last_reason_ = reason;
  if (was_connected_) {
    log_.tell_problem(reason, scheduler_->now(), [&] {
      return was_connected ? "the connection is lost: " + reason.message() + "; it is tried again" : reason.message();
    });
  }
  for (auto& [node, peer] : peers_) {
    peer.link.send_again();
    peer.replaced_until = {};
    if (was_connected) peer.link.liveness.disconnected(scheduler_->now());
  }
}

// Without its own subject it hears nothing, and without those of nodes it finds none.
void ClusterClient::bus_refused(const Error& reason) {
  const bool of_join = reason.message().find(join_subject(options_.cluster, options_.pool)) != std::string::npos;
  log_.tell(LogLevel::warning, [&] { return reason.message(); });
  if (of_join) return;  // a node that comes is found when it is asked, then
  finish_open(std::unexpected(Access::with_message(reason, [&] {
    return "the NATS server's configuration does not let this manager reach nodes: " + reason.message();
  })));
}

void ClusterClient::take_message(const nats::BusMessage& message) {
  const TimePoint now = scheduler_->now();
  if (message.no_responders) {
    nobody_was_asked(message.subject.substr(address_.size()));
    for (auto& [node, peer] : peers_) {
      if (message.subject != peer.reply) continue;
      peer.link.liveness.nobody_listens(now);
      if (now < peer.replaced_until) lose_peer(peer, "another process has its place");
    }
    return pump_soon();
  }
  try {
    MessageReader reader(message.payload);
    if (reader.to() != instance_) return void(++refused_);
    const std::uint64_t from = reader.from();
    if (const auto peer = peers_.find(from); peer != peers_.end()) {
      peer->second.link.liveness.heard(now);
      peer->second.last_heard = now;
    }
    while (const auto frame = reader.next()) take_frame(from, *frame);
    const auto peer = peers_.find(from);
    if (peer == peers_.end()) return;
    for (auto at = peer->second.borrowers.begin(); at != peer->second.borrowers.end();) {
      (at++)->second->message_taken();
    }
  } catch (const DecodeError&) {
    ++refused_;
  } catch (const std::bad_alloc&) {
    ++refused_;  // as one that was lost: it is sent again
  }
  pump_soon();
}

void ClusterClient::take_frame(std::uint64_t from, const Frame& frame) {
  if (frame.type == FrameType::offer) return take_offer(from, frame);
  const auto known = peers_.find(from);
  if (frame.type == FrameType::busy) {
    ByteReader reader(frame.body);
    BusyBody body = get_busy_body(reader);
    if (!is_token(body.node)) return;
    Peer& peer = peer_of(from, body.node);
    peer.busy = std::move(body);
    peer.asked_at.reset();
    return node_is_busy(frame.lease);
  }
  if (known == peers_.end()) return;
  Peer& peer = known->second;
  switch (frame.type) {
    case FrameType::grant: return take_grant(peer, frame);
    case FrameType::drain:
      for (auto at = peer.borrowers.begin(); at != peer.borrowers.end();) (at++)->second->node_drains();
      return;
    case FrameType::refuse: return wants_.refused(frame.lease, from, frame.number, scheduler_->now());
    case FrameType::echo: {
      const Duration since_start = scheduler_->now().time_since_epoch();
      const auto sent = static_cast<Duration::rep>(frame.number);
      if (sent > 0 && Duration(sent) <= since_start) peer.round_trip = since_start - Duration(sent);
      return;
    }
    default: return take_lease_frame(peer, frame);
  }
}

void ClusterClient::take_lease_frame(Peer& peer, const Frame& frame) {
  if (seeking_.contains(frame.lease)) return;  // its grant is still on its way
  ManagerLease* const lease = peer.link.lease_of(frame);
  if (lease == nullptr) return;
  const auto borrower = peer.borrowers.find(frame.lease);
  Nobody nobody;
  try {
    lease->receive(frame, scheduler_->now(),
                   borrower == peer.borrowers.end() ? static_cast<ManagerLeaseSink&>(nobody) : *borrower->second);
  } catch (const DecodeError& error) {
    lease->end();
    lose_lease(peer, frame.lease, Error(Errc::node_lost, "node " + peer.name + " broke the protocol: " + error.what()));
    throw;
  } catch (const std::bad_alloc&) {  // it counts as received, and is not sent again
    lease->end();
    lose_lease(peer, frame.lease, Error::make(Errc::node_lost, [&] {
                 return "node " + peer.name + " is given up: there was no memory for what it said";
               }));
    throw;
  }
}

void ClusterClient::lose_lease(Peer& peer, std::uint64_t id, const Error& why) noexcept {
  const auto borrower = peer.borrowers.find(id);
  if (borrower == peer.borrowers.end()) return;
  Borrower& loser = *borrower->second;
  peer.borrowers.erase(borrower);
  loser.lost(why);
}

void ClusterClient::lose_peer(Peer& peer, const std::string& why) noexcept {
  const Error error = Error::make(Errc::node_lost, [&] { return "node " + peer.name + " is lost: " + why; });
  while (!peer.borrowers.empty()) lose_lease(peer, peer.borrowers.begin()->first, error);
  peer.link.leases.clear();
}

// Leases that are over on both ends go; what is due is sent.
void ClusterClient::look_after(Peer& peer, TimePoint now) {
  if (!peer.link.leases.empty() && peer.link.liveness.lost(now)) {
    std::string why =
        peer.link.liveness.silent(now)
            ? "it has not been heard for node_timeout = " + in_words(options_.node_timeout)
            : "nobody has listened in its place for reconnect_grace = " + in_words(options_.reconnect_grace);
    if (!connected() && last_reason_) why += ", as this manager is cut off: " + last_reason_->message();
    return lose_peer(peer, why);
  }
  std::erase_if(peer.link.leases, [&](const auto& lease) {
    if (!lease.second.finished() || peer.borrowers.contains(lease.first)) return false;
    peer.resent += lease.second.resent();
    return true;
  });
  if (!connected() || (peer.link.leases.empty() && !peer.link.has_unknown())) return;
  if (now >= peer.link.next_beat()) {
    say(peer, {.type = FrameType::echo, .number = static_cast<std::uint64_t>(now.time_since_epoch().count())});
  }
  const std::size_t limit = std::min(kMessage, bus_->max_payload());
  peer.link.write(now, limit, [&](std::span<const std::byte> message) {
    return bus_->publish(peer.subject, message, peer.reply) == nats::Published::taken;
  });
}

void ClusterClient::pump_soon() noexcept {
  if (!bus_) return;
  if (auto queued = pumps_.to_queue(shared_from_this())) scheduler_->defer(std::move(queued));
}

// Where there is no memory, what was left is done a moment later.
void ClusterClient::pump() {
  if (!bus_) return;
  try {
    pump_once();
  } catch (const std::bad_alloc&) {
    set_timer(deadline_after(scheduler_->now(), kRetry));
  }
}

void ClusterClient::pump_once() {
  const TimePoint now = scheduler_->now();
  forget_idle_peers(now);
  if (connected()) {
    renew_overdue(now);
    ask(now);
  }
  for (auto& [node, peer] : peers_) look_after(peer, now);
  arm(now);
}

void ClusterClient::forget_idle_peers(TimePoint now) noexcept {
  std::erase_if(peers_, [&](const auto& peer) {
    return peer.second.link.leases.empty() && deadline_after(peer.second.last_heard, kRemembered) <= now;
  });
}

void ClusterClient::arm(TimePoint now) {
  TimePoint next = connected() ? wants_.next_time() : kNever;
  for (const auto& [node, peer] : peers_) {
    if (peer.link.leases.empty()) continue;
    next = std::min(next, peer.link.liveness.lost_at());
    if (connected()) next = std::min(next, peer.link.next_beat());
  }
  set_timer(std::max(next, now));
}

void ClusterClient::set_timer(TimePoint deadline) noexcept {
  timer_.unset();
  if (deadline == kNever) return;
  timer_.set(deadline, [this] {
    timer_.came();
    pump_soon();
  });
}

}  // namespace leasepool::detail::remote
