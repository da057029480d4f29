// MemoryServer and its clients.
#include "nats/memory_bus.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "nats/subject.hpp"

namespace leasepool::detail::nats {

MemoryServer::~MemoryServer() {
  for (MemoryBus* const client : clients_) client->server_ = nullptr;
}

std::shared_ptr<MemoryBus> MemoryServer::connect(std::string name, BusOwner& owner) {
  auto client = std::make_shared<MemoryBus>(*this, std::move(name), owner);
  client->start_attempt(Duration::zero());
  return client;
}

void MemoryServer::set_down() {
  up_ = false;
  for (MemoryBus* const client : std::vector(clients_)) {
    if (client->state_ != BusState::connected) continue;
    if (client->cut_off_)
      client->lost_unnoticed_ = true;
    else
      client->disconnect("the server has gone");
  }
}

void MemoryServer::route(MemoryBus& from, std::string_view subject, std::span<const std::byte> payload,
                         std::string_view reply) {
  bool anybody = false;
  for (MemoryBus* const client : clients_) {
    if (client->state_ != BusState::connected || client->lost_unnoticed_) continue;
    for (const auto& [id, subscription] : client->subscriptions_) {
      if (subscription.is_subject ? subscription.pattern != subject : !matches(subscription.pattern, subject)) continue;
      anybody = true;
      const Trip trip{.from = from.name_, .to = client->name_, .subject = subject, .payload = payload};
      for (const Duration after : fate ? fate(trip) : std::vector{Duration::zero()}) {
        client->send({.subject = std::string(subject),
                      .reply = std::string(reply),
                      .payload = {payload.begin(), payload.end()},
                      .to = id,
                      .connection = client->connection_},
                     after);
      }
    }
  }
  if (anybody || reply.empty()) return;
  for (const auto& [id, subscription] : from.subscriptions_) {
    if (!matches(subscription.pattern, reply)) continue;
    from.send({.subject = std::string(reply),
               .reply = {},
               .payload = {},
               .to = id,
               .connection = from.connection_,
               .no_responders = true},
              Duration::zero());
    return;
  }
}

MemoryBus::MemoryBus(MemoryServer& server, std::string name, BusOwner& owner)
    : server_(&server), name_(std::move(name)), owner_(&owner) {
  server.clients_.push_back(this);
}

MemoryBus::~MemoryBus() { close(); }

SubscriptionId MemoryBus::subscribe(std::string_view pattern, Handler handler) {
  check(is_pattern(pattern), "a subscription's pattern is one");
  const SubscriptionId id = ++last_id_;
  subscriptions_.emplace(id, Subscription{.pattern = std::string(pattern),
                                          .is_subject = is_subject(pattern),
                                          .handler = std::make_shared<Handler>(std::move(handler))});
  return id;
}

Published MemoryBus::publish(std::string_view subject, std::span<const std::byte> payload,
                             std::string_view reply) noexcept {
  if (!is_subject(subject) || (!reply.empty() && !is_subject(reply))) return Published::bad_subject;
  if (state_ != BusState::connected) return Published::not_connected;
  if (payload.size() > max_payload_) return Published::too_large;
  if (full_) return Published::queue_full;
  if (cut_off_ || server_ == nullptr) return Published::taken;
  try {
    ++server_->published;
    server_->route(*this, subject, payload, reply);
  } catch (const std::bad_alloc&) {
    return Published::no_memory;
  }
  return Published::taken;
}

void MemoryBus::close() noexcept {
  if (state_ == BusState::closed) return;
  state_ = BusState::closed;
  ++connection_;
  owner_ = nullptr;
  if (server_ != nullptr) std::erase(server_->clients_, this);
  // A handler that runs now is kept by who runs it.
  subscriptions_.clear();
  waiting_.clear();
}

void MemoryBus::set_cut_off(bool cut_off) {
  cut_off_ = cut_off;
  if (!cut_off && std::exchange(lost_unnoticed_, false)) disconnect("the server has gone");
}

void MemoryBus::set_held(bool held) {
  held_ = held;
  if (held) return;
  for (Letter& letter : std::exchange(waiting_, {})) send(std::move(letter), Duration::zero());
}

void MemoryBus::set_full(bool full) {
  const bool was_full = std::exchange(full_, full);
  if (was_full && !full && state_ == BusState::connected) tell(&BusOwner::bus_has_room);
}

void MemoryBus::disconnect(std::string_view why) {
  if (state_ != BusState::connected || server_ == nullptr) return;
  state_ = BusState::connecting;
  lost_unnoticed_ = false;
  ++connection_;
  waiting_.clear();
  const std::weak_ptr<MemoryBus> weak = weak_from_this();
  server_->scheduler_.defer([weak, reason = Error(Errc::end_of_stream, name_ + ": " + std::string(why))] {
    if (const auto self = weak.lock(); self && self->owner_ != nullptr) self->owner_->bus_disconnected(reason);
  });
  start_attempt(server_->retry_pause);
}

void MemoryBus::start_attempt(Duration after) {
  const std::weak_ptr<MemoryBus> weak = weak_from_this();
  Scheduler& scheduler = server_->scheduler_;
  scheduler.call_at(deadline_after(scheduler.now(), after + server_->connect_time), [weak, attempt = ++connection_] {
    const auto self = weak.lock();
    if (self && self->connection_ == attempt && self->server_ != nullptr) self->end_attempt();
  });
}

void MemoryBus::end_attempt() {
  if (server_->up_ && !cut_off_) {
    ++connection_;
    state_ = BusState::connected;
    max_payload_ = server_->max_payload;
    owner_->bus_connected();
    return;
  }
  start_attempt(server_->retry_pause);
  owner_->bus_disconnected(Error(Errc::timed_out, name_ + ": no server answers"));
}

void MemoryBus::send(Letter letter, Duration after) {
  const std::weak_ptr<MemoryBus> weak = weak_from_this();
  auto arrives = [weak, letter = std::move(letter)]() mutable {
    if (const auto self = weak.lock()) self->arrive(std::move(letter));
  };
  Scheduler& scheduler = server_->scheduler_;
  if (after <= Duration::zero())
    scheduler.defer(std::move(arrives));
  else
    scheduler.call_at(deadline_after(scheduler.now(), after), std::move(arrives));
}

void MemoryBus::arrive(Letter letter) {
  if (letter.connection != connection_ || cut_off_) return;
  if (held_)
    waiting_.push_back(std::move(letter));
  else
    hand_over(letter);
}

void MemoryBus::hand_over(const Letter& letter) {
  const auto at = subscriptions_.find(letter.to);
  if (at == subscriptions_.end()) return;
  if (server_ != nullptr) ++server_->delivered;
  const std::shared_ptr<Handler> handler = at->second.handler;  // may unsubscribe itself
  (*handler)({.subject = letter.subject,
              .reply = letter.reply,
              .payload = letter.payload,
              .no_responders = letter.no_responders});
}

void MemoryBus::tell(void (BusOwner::*event)()) {
  const std::weak_ptr<MemoryBus> weak = weak_from_this();
  server_->scheduler_.defer([weak, event, connection = connection_] {
    const auto self = weak.lock();
    if (self && self->connection_ == connection && self->owner_ != nullptr) (self->owner_->*event)();
  });
}

}  // namespace leasepool::detail::nats
