// MemoryServer: a server in memory, with all that can go wrong on the way to it, for tests and simulations on any
// clock. It is no part of the library.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "leasepool/duration.hpp"
#include "loop/scheduler.hpp"
#include "nats/bus.hpp"

namespace leasepool::detail::nats {

class MemoryBus;

// One thread. It outlives its clients' use; the scheduler outlives it.
class MemoryServer {
 public:
  explicit MemoryServer(Scheduler& scheduler) noexcept : scheduler_(scheduler) {}
  MemoryServer(const MemoryServer&) = delete;
  MemoryServer& operator=(const MemoryServer&) = delete;
  ~MemoryServer();

  // A client; the name is for `fate` and for errors. It is connected a moment later, if that can be.
  [[nodiscard]] std::shared_ptr<MemoryBus> connect(std::string name, BusOwner& owner);

  // One message on its way from one client to another's subscription.
  struct Trip {
    std::string_view from;
    std::string_view to;
    std::string_view subject;
    std::span<const std::byte> payload;
  };
  // After which time each copy of it arrives: none of a message that is lost, two of one that is repeated. Equal times
  // keep the order. Where there is no function, each arrives once and at once. The server's own "no responders" makes
  // no such trip.
  std::function<std::vector<Duration>(const Trip&)> fate;

  // The server dies: every client hears of it, and what is on its way is lost. It comes back.
  void set_down();
  void set_up() noexcept { up_ = true; }

  Duration connect_time{};                               // from an attempt to its end
  Duration retry_pause = std::chrono::milliseconds(50);  // from a failed attempt to the next
  std::size_t max_payload = std::size_t{1} << 20;        // of connections made from now on
  std::uint64_t published = 0;                           // messages that were taken
  std::uint64_t delivered = 0;                           // that reached a handler

 private:
  friend class MemoryBus;

  void route(MemoryBus& from, std::string_view subject, std::span<const std::byte> payload, std::string_view reply);

  Scheduler& scheduler_;
  std::vector<MemoryBus*> clients_;  // in the order in which they came
  bool up_ = true;
};

// A client of it. Loop thread only.
class MemoryBus final : public Bus, public std::enable_shared_from_this<MemoryBus> {
 public:
  MemoryBus(MemoryServer& server, std::string name, BusOwner& owner);
  ~MemoryBus() override;

  SubscriptionId subscribe(std::string_view pattern, Handler handler) override;
  void unsubscribe(SubscriptionId id) noexcept override { subscriptions_.erase(id); }
  [[nodiscard]] Published publish(std::string_view subject, std::span<const std::byte> payload,
                                  std::string_view reply = {}) noexcept override;
  [[nodiscard]] std::size_t max_payload() const noexcept override { return max_payload_; }
  [[nodiscard]] BusState state() const noexcept override { return state_; }
  void close() noexcept override;

  // What a test does to it.

  // A partition: nothing passes either way, and neither end notices. What arrives meanwhile is lost.
  void set_cut_off(bool cut_off);
  // What its process is stopped by SIGSTOP for: what arrives waits, and comes in order afterwards.
  void set_held(bool held);
  // publish() says queue_full.
  void set_full(bool full);
  // Both ends notice that the connection is gone; attempts go on.
  void disconnect(std::string_view why);

 private:
  friend class MemoryServer;

  struct Subscription {
    std::string pattern;
    bool is_subject = false;  // matches itself alone
    std::shared_ptr<Handler> handler;
  };
  // A copy of a message, for the time of its trip.
  struct Letter {
    std::string subject;
    std::string reply;
    std::vector<std::byte> payload;
    SubscriptionId to = 0;
    std::uint64_t connection = 0;  // with which it is lost
    bool no_responders = false;
  };

  void start_attempt(Duration after);
  void end_attempt();
  void send(Letter letter, Duration after);
  void arrive(Letter letter);
  void hand_over(const Letter& letter);
  // Calls it later, if this connection is still there then.
  void tell(void (BusOwner::*event)());

  MemoryServer* server_;  // null when it is gone
  const std::string name_;
  BusOwner* owner_;
  std::map<SubscriptionId, Subscription> subscriptions_;
  std::deque<Letter> waiting_;  // while it is held
  SubscriptionId last_id_ = 0;
  std::uint64_t connection_ = 0;  // counts connections and attempts
  std::size_t max_payload_ = std::size_t{1} << 20;
  BusState state_ = BusState::connecting;
  bool cut_off_ = false;
  bool held_ = false;
  bool full_ = false;
  bool lost_unnoticed_ = false;  // the server has gone while it was cut off
};

}  // namespace leasepool::detail::nats
