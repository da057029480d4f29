// A node's messages, leases and timers.
#include "remote/node_core.hpp"

#include <algorithm>
#include <functional>
#include <new>
#include <source_location>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "remote/node_held.hpp"
#include "remote/subjects.hpp"
#include "remote/wants.hpp"
#include "shared/registry.hpp"

namespace leasepool::detail::remote {

namespace {

// Managers that are known at a time; those that have no lease are forgotten first.
constexpr std::size_t kMaxManagers = 10'000;

// While a manager cannot be reached, calls end that ran or were sent ahead: twice as many as run at once, and what a
// window has of short ones. More outcomes than that has nobody who is there.
std::size_t most_kept(const LeaseLimits& limits, std::size_t workers) noexcept {
  return limits.max_payload > SIZE_MAX / 4 / workers ? SIZE_MAX / 2 : 2 * workers * limits.max_payload + limits.window;
}

}  // namespace

NodeCore::NodeCore(std::shared_ptr<Scheduler> scheduler, std::shared_ptr<ManagerCore> manager, NodeOptions options,
                   std::uint64_t instance)
    : scheduler_(std::move(scheduler)),
      manager_(std::move(manager)),
      options_(std::move(options)),
      instance_(instance),
      max_kept_(most_kept(options_.limits, manager_->options().workers_per_pool)) {}

void NodeCore::attach(nats::Bus& bus) {
  timer_.keep();
  bus_ = &bus;
  build_ = functions_build();
  for (unsigned level = 0; level <= kMaxLevel; ++level) {
    want_subscriptions_.push_back(
        bus.subscribe(want_subject(options_.cluster, options_.pool, level, bucket_of(instance_, level)),
                      [this](const nats::BusMessage& message) { take_message(message, true); }));
  }
  (void)bus.subscribe(address(), [this](const nats::BusMessage& message) { take_message(message, false); });
}

void NodeCore::lend() {
  lends_ = true;
  announce();
  pump_soon();
}

void NodeCore::bus_connected() {
  announce();
  for (const auto& [manager, peer] : busy_) peer->link.send_again();
  pump_soon();
}

// Who waits for a pool need not wait for the next time that it asks.
void NodeCore::announce() noexcept {
  if (!lends_ || bus_->state() != nats::BusState::connected) return;
  try {
    Bytes body;
    put(body, OfferBody{.node = options_.name});
    MessageWriter message(instance_, 0);
    message.add({.type = FrameType::join, .number = announced_ ? 0U : 1U, .body = body.view()});
    (void)bus_->publish(join_subject(options_.cluster, options_.pool), message.bytes());
    announced_ = true;
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as if it was lost
  }
}

void NodeCore::bus_disconnected(const Error& /*reason*/) {
  for (const auto& [manager, peer] : busy_) peer->link.send_again();
}

// Null for an address where no manager of this cluster listens.
NodeCore::Peer* NodeCore::peer_of(std::uint64_t manager, std::string_view address) {
  if (const auto known = peers_.find(manager); known != peers_.end()) return &known->second;
  if (!address.starts_with(managers_prefix(options_.cluster))) return nullptr;
  if (peers_.size() >= kMaxManagers) {
    std::erase_if(peers_, [this](const auto& peer) { return !busy_.contains(peer.first); });
    if (peers_.size() >= kMaxManagers) return nullptr;
  }
  const TimePoint now = scheduler_->now();
  Link<NodeLease> link(instance_, manager, Liveness(options_.manager_timeout, Duration::max(), now), options_.heartbeat,
                       now);
  return &peers_.emplace(manager, Peer{.address = std::string(address), .link = std::move(link), .held = {}})
              .first->second;
}

void NodeCore::take_message(const nats::BusMessage& message, bool to_all) {
  if (message.no_responders) return;
  try {
    MessageReader reader(message.payload);
    Peer* const peer = peer_of(reader.from(), message.reply);
    if (peer == nullptr || reader.to() != (to_all ? 0 : instance_)) return void(++refused_);
    peer->link.liveness.heard(scheduler_->now());
    while (const auto frame = reader.next()) take_frame(*peer, reader.from(), *frame, to_all);
  } catch (const DecodeError&) {
    ++refused_;
  } catch (const std::bad_alloc&) {
    ++refused_;  // as one that was lost: it is sent again
  }
  pump_soon();
}

void NodeCore::take_frame(Peer& peer, std::uint64_t from, const Frame& frame, bool to_all) {
  const TimePoint now = scheduler_->now();
  const Offers::Offer offer{.want = {.manager = from, .id = frame.lease}, .id = frame.number};
  ByteReader reader(frame.body);
  switch (frame.type) {
    case FrameType::want: return take_want(peer, offer.want, frame, now);
    case FrameType::unwant: return offers_.unwanted(offer.want);
    default: break;
  }
  if (to_all) throw DecodeError("a frame that is not for everybody");
  if (frame.type == FrameType::decline) return offers_.declined(offer);
  if (frame.type == FrameType::take) return take_offer(peer, from, frame);
  if (frame.type == FrameType::echo) return say(peer, {.type = FrameType::echo, .number = frame.number});
  busy_.try_emplace(from, &peer);
  NodeLease* const lease = peer.link.lease_of(frame);
  if (lease == nullptr) return;
  const std::shared_ptr<Held> held = peer.held.at(frame.lease);
  try {
    lease->receive(frame, now, *held);
  } catch (const std::bad_alloc&) {  // it counts as received, and is not sent again
    held->failed = true;
    throw;
  } catch (const DecodeError&) {
    refuse(*held, "the lease was closed: its manager broke the protocol");
    throw;
  }
  if (!held->ended) return;
  end_lease(peer, frame.lease);
  (void)peer.link.lease_of(frame);  // says that it is gone
}

void NodeCore::take_offer(Peer& peer, std::uint64_t manager, const Frame& frame) {
  ByteReader reader(frame.body);
  const TakeBody body = get_take_body(reader);
  const std::uint64_t id = frame.lease;
  if (const auto known = peer.held.find(id); known != peer.held.end()) {  // said twice
    if (Access::record(known->second->local)) grant(peer, id);
    return;
  }
  if (!offers_.taken({.want = {.manager = manager, .id = id}, .id = frame.number})) {
    return say(peer, {.type = FrameType::refuse, .lease = id, .number = frame.number});
  }
  LeaseLimits limits = options_.limits;
  limits.max_part = std::min(limits.max_part, bus_->max_payload() / 2);
  limits.window = std::min(limits.window, static_cast<std::size_t>(body.window));
  const TimePoint now = scheduler_->now();
  busy_.try_emplace(manager, &peer);
  const auto lease = peer.link.leases.try_emplace(id, id, limits, body.durations, now).first;
  try {
    peer.held.emplace(id, std::make_shared<Held>(*this, lease->second, body));
    acquire(manager, id, body.owner);
  } catch (const std::bad_alloc&) {
    peer.held.erase(id);
    peer.link.leases.erase(lease);
    throw;
  }
}

// This node ends it in time, also by the manager's own grace.
void NodeCore::acquire(std::uint64_t manager, std::uint64_t id, const std::string& owner) {
  (void)manager_->acquire({.owner = owner,
                           .lease_duration = Duration::max(),
                           .wait = true,
                           .timeout = std::nullopt,
                           .where = std::source_location::current()},
                          [weak = weak_from_this(), manager, id](Result<ExecutorLease> acquired) {
                            if (const auto self = weak.lock()) self->acquired(manager, id, std::move(acquired));
                          });
}

void NodeCore::acquired(std::uint64_t manager, std::uint64_t id, Result<ExecutorLease> lease) {
  const auto peer = peers_.find(manager);
  if (peer == peers_.end()) return;
  const auto held = peer->second.held.find(id);
  if (held == peer->second.held.end()) return;  // ended meanwhile: the local lease goes with this
  if (lease) {
    held->second->local = std::move(*lease);
    Access::record(held->second->local)->is_lent_on = true;
    ++granted_;
    grant(peer->second, id);
  } else {
    end_lease(peer->second, id);
    (void)peer->second.link.lease_of({.type = FrameType::end, .lease = id});
  }
  pump_soon();
}

void NodeCore::grant(const Peer& peer, std::uint64_t id) noexcept {
  const ManagerOptions& own = manager_->options();
  say(peer, {.type = FrameType::grant, .lease = id}, [&](Bytes& body) {
    put(body, GrantBody{.build = build_,
                        .catalogue = catalogue_hash(),
                        .workers = own.workers_per_pool,
                        .window = options_.limits.window,
                        .max_payload = options_.limits.max_payload});
  });
}

// Who does not wait hears at once that there is nothing, and who has it.
void NodeCore::take_want(const Peer& peer, const Offers::Want& want, const Frame& frame, TimePoint now) {
  ByteReader reader(frame.body);
  const WantBody body = get_want_body(reader);
  ++wants_heard_;
  if (body.build != 0 && body.build != build_) return;
  if (const auto standing = offers_.wanted(want, body, now)) return say_offer(peer, *standing);
  if (body.waits || free_pools() > 0) return;
  say(peer, {.type = FrameType::busy, .lease = want.id}, [&](Bytes& out) { put(out, who_has_pools(now)); });
}

BusyBody NodeCore::who_has_pools(TimePoint now) const {
  BusyBody busy{.node = options_.name, .leases = leases(), .holders = {}};
  for (const auto& [manager, peer] : busy_) {
    for (const auto& [id, held] : peer->held) {
      busy.holders.push_back({.owner = held->owner(), .age = now - held->since()});
    }
  }
  std::ranges::sort(busy.holders, std::ranges::greater(), &BusyBody::Holder::age);
  if (busy.holders.size() > BusyBody::kMostHolders) busy.holders.resize(BusyBody::kMostHolders);
  return busy;
}

std::size_t NodeCore::free_pools() const noexcept {
  const std::size_t most = manager_->options().max_pools;
  return lends_ ? most - std::min(leases() + offers_.on_offer(), most) : 0;
}

void NodeCore::end_lease(Peer& peer, std::uint64_t id) noexcept {
  const auto held = peer.held.find(id);
  check(held != peer.held.end(), "a lease that ends was given");
  held->second->detach();
  held->second->abort(Errc::cancelled, "the lease was ended");
  peer.held.erase(held);  // gives the local lease back
  resent_before_ += peer.link.leases.at(id).resent();
  peer.link.leases.erase(id);
}

std::size_t NodeCore::leases() const noexcept {
  std::size_t count = 0;
  for (const auto& [manager, peer] : busy_) {
    for (const auto& [id, lease] : peer->link.leases) count += lease.closed() ? 0U : 1U;
  }
  return count;
}

void NodeCore::offer_pools() {
  if (!lends_ || bus_ == nullptr || bus_->state() != nats::BusState::connected) return;
  const TimePoint now = scheduler_->now();
  for (;;) {
    const auto offer = offers_.next_offer(free_pools(), now);
    if (!offer) return;
    if (const auto peer = peers_.find(offer->want.manager); peer != peers_.end()) {
      say_offer(peer->second, *offer);
    } else {
      offers_.declined(*offer);
    }
  }
}

void NodeCore::say_offer(const Peer& peer, const Offers::Offer& offer) noexcept {
  say(peer, {.type = FrameType::offer, .lease = offer.want.id, .number = offer.id},
      [this](Bytes& out) { put(out, OfferBody{.node = options_.name}); });
}

void NodeCore::refuse(Held& held, const char* why) noexcept {
  if (held.closes) return;
  held.closes = CloseReason::refused;
  held.abort(Errc::lease_expired, why);
}

void NodeCore::look_after(Peer& peer, TimePoint now) {
  const bool lost = peer.link.liveness.lost(now);
  for (auto at = peer.held.begin(); at != peer.held.end();) {
    const auto [id, held] = *at++;
    NodeLease& lease = peer.link.leases.at(id);
    if (lost || held->failed) {
      end_lease(peer, id);
      if (!lost) (void)peer.link.lease_of({.type = FrameType::end, .lease = id});  // says that it is gone
      continue;
    }
    if (!held->closes && lease.hard_expiry() <= now) {
      held->closes = CloseReason::expired;
      held->abort(Errc::lease_expired, "the node ended the lease at its hard expiry");
    }
    if (lease.kept_bytes() > max_kept_) refuse(*held, "the lease was closed: its manager takes no outcomes");
    if (!held->closes || lease.open_calls() != 0) continue;
    lease.close(*held->closes);
    held->local = {};
    if (lease.finished()) end_lease(peer, id);
  }
}

void NodeCore::pump_soon() noexcept {
  if (bus_ == nullptr) return;
  if (auto queued = pumps_.to_queue(shared_from_this())) scheduler_->defer(std::move(queued));
}

// Where there is no memory, what was left is done a moment later.
void NodeCore::pump() {
  if (bus_ == nullptr) return;
  try {
    pump_once();
  } catch (const std::bad_alloc&) {
    set_timer(deadline_after(scheduler_->now(), kRetry));
  }
}

void NodeCore::pump_once() {
  const TimePoint now = scheduler_->now();
  offers_.expire(now);
  const bool connected = bus_->state() == nats::BusState::connected;
  const std::size_t limit = std::min(kMessage, bus_->max_payload());
  for (auto at = busy_.begin(); at != busy_.end();) {
    Peer& peer = *at->second;
    look_after(peer, now);
    if (connected) {
      if (draining_ && now >= peer.link.next_beat()) say(peer, {.type = FrameType::drain});
      peer.link.write(now, limit, [&](std::span<const std::byte> message) {
        return bus_->publish(peer.address, message) == nats::Published::taken;
      });
    }
    at = peer.link.leases.empty() && !peer.link.has_unknown() ? busy_.erase(at) : std::next(at);
  }
  offer_pools();
  finish_drain();
  arm();
}

void NodeCore::arm() {
  TimePoint next = offers_.next_expiry();
  for (const auto& [manager, peer] : busy_) {
    if (peer->link.leases.empty()) continue;
    next = std::min(next, peer->link.liveness.lost_at());
    if (bus_->state() == nats::BusState::connected) next = std::min(next, peer->link.next_beat());
    for (const auto& [id, held] : peer->held) {
      if (!held->closes) next = std::min(next, peer->link.leases.at(id).hard_expiry());
    }
  }
  set_timer(next);
}

void NodeCore::set_timer(TimePoint deadline) noexcept {
  timer_.unset();
  timer_.set(deadline, [this] {
    timer_.came();
    pump_soon();
  });
}

// Managers that want a pool are not heard any more, so that the server can tell them that nobody is there.
void NodeCore::drain(std::move_only_function<void()> drained) {
  check(drained_ == nullptr, "a node drains once");
  drained_ = std::make_unique<DeferredFunction>(std::move(drained));
  lends_ = false;
  offers_.withdraw_all();
  if (bus_ != nullptr) {
    for (const nats::SubscriptionId wants : std::exchange(want_subscriptions_, {})) bus_->unsubscribe(wants);
  }
  draining_ = true;
  for (const auto& [manager, peer] : busy_) peer->link.beat_now();
  pump_soon();
}

void NodeCore::end_leases() noexcept {
  for (const auto& [manager, peer] : busy_) {
    for (const auto& [id, held] : peer->held) {
      if (!held->closes) held->closes = CloseReason::stopped;
    }
  }
  pump_soon();
}

void NodeCore::finish_drain() noexcept {
  if (!drained_) return;
  const bool holds_some = std::ranges::any_of(busy_, [](const auto& peer) { return !peer.second->held.empty(); });
  if (!holds_some) scheduler_->defer(std::exchange(drained_, nullptr));
}

void NodeCore::close() noexcept {
  bus_ = nullptr;
  lends_ = false;
  drained_ = nullptr;
  timer_.disarm();
  for (const auto& [manager, peer] : busy_) {
    while (!peer->held.empty()) end_lease(*peer, peer->held.begin()->first);
  }
  busy_.clear();
  peers_.clear();
}

}  // namespace leasepool::detail::remote
