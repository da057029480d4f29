// Connection: a Bus that is a client of a NATS server, or of one of several in turn.
//
//   phase        what it waits for                           at its deadline
//   pausing      the end of a pause                          the next attempt
//   looking_up   the addresses of the server's name          the attempt failed
//   connecting   TCP                                         the same
//   meeting      the server's INFO                           the same
//   securing     TLS                                         the same
//   introducing  a PONG behind CONNECT and subscriptions     the same
//   connected    messages                                    a look at whether the server still talks
//   closed       nothing
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/background_thread.hpp"
#include "loop/kept_timer.hpp"
#include "loop/loop_client.hpp"
#include "nats/backoff.hpp"
#include "nats/bus.hpp"
#include "nats/host_lookup.hpp"
#include "nats/link.hpp"
#include "nats/protocol.hpp"
#include "nats/server_list.hpp"

namespace leasepool::detail::nats {

// What is named in errors as RemoteOptions' is checked and read here.
struct ConnectionOptions {
  std::string servers{};  // nats://host:port, tls://host:port, ...
  std::string user{};
  std::string credentials_file{};
  std::string ca_file{};
  std::string cert_file{};
  std::string key_file{};
  std::string name{};                                  // how the server lists this client
  Duration attempt_timeout = std::chrono::seconds(2);  // of one attempt, from the name to the server's answer
  Duration keepalive = std::chrono::seconds(1);    // of silence, until the server is pinged; it then has as long again
  Duration eager_for = std::chrono::seconds(5);    // how long attempts are 100 ms apart at most
  std::size_t max_unsent = std::size_t{16} << 20;  // bytes that wait for the server to read
};

// Loop thread only.
class Connection final : public Bus,
                         public LoopClient,
                         private LinkOwner,
                         public std::enable_shared_from_this<Connection> {
 public:
  // Begins to connect. Throws std::invalid_argument and std::bad_alloc.
  [[nodiscard]] static std::shared_ptr<Connection> make(std::shared_ptr<LoopCore> loop, ConnectionOptions options,
                                                        BusOwner& owner);
  Connection(std::shared_ptr<LoopCore> loop, ConnectionOptions options, BusOwner& owner);
  ~Connection() override;

  SubscriptionId subscribe(std::string_view pattern, Handler handler) override;
  void unsubscribe(SubscriptionId id) noexcept override;
  [[nodiscard]] Published publish(std::string_view subject, std::span<const std::byte> payload,
                                  std::string_view reply = {}) noexcept override;
  [[nodiscard]] std::size_t max_payload() const noexcept override { return max_payload_; }
  [[nodiscard]] BusState state() const noexcept override;
  void close() noexcept override;

  void loop_closing() noexcept override { close(); }

 private:
  enum class Phase : std::uint8_t {
    pausing,
    looking_up,
    connecting,
    meeting,
    securing,
    introducing,
    connected,
    closed,
  };
  struct Subscription {
    std::string pattern;
    std::shared_ptr<Handler> handler;
  };

  // Attempts (connection_attempts.cpp).
  void start_attempt();
  void look_up();
  void found(std::uint64_t attempt, Result<HostLookup::Addresses> addresses);
  void connect_to_next();
  void meet(std::string_view text, bool is_last);
  void secure();
  void introduce();
  void welcomed();
  void lose(const Error& reason) noexcept;
  [[nodiscard]] Error named(const Error& reason) const noexcept;
  [[nodiscard]] Error late() const noexcept;
  [[nodiscard]] std::string_view awaited() const noexcept;
  [[nodiscard]] bool wants_tls() const noexcept;
  [[nodiscard]] bool may_command() const noexcept { return phase_ == Phase::introducing || phase_ == Phase::connected; }
  [[nodiscard]] std::string whom() const;

  void set_timer(Duration delay) noexcept;
  void timer_came();
  void look_for_life();

  void link_connected() override;
  void link_secured() override;
  std::size_t link_received(std::string_view bytes) override;
  void link_sent() override;
  void link_failed(const Error& error) override;

  void take(const Frame& frame, bool is_last);
  void take_message(const Frame& frame);
  void take_complaint(std::string_view text);
  void answer_ping();

  const std::shared_ptr<LoopCore> loop_;
  const ConnectionOptions options_;
  const std::vector<Server> servers_;
  BusOwner* owner_;
  Phase phase_ = Phase::pausing;
  KeptTimer timer_;
  Backoff backoff_;
  BackgroundThread resolver_{"nats resolver", std::chrono::seconds(1)};
  std::weak_ptr<HostLookup> lookup_;  // while it is under way
  std::uint64_t attempt_ = 0;
  std::size_t next_server_ = 0;
  const Server* server_ = nullptr;   // of this attempt
  HostLookup::Addresses addresses_;  // of it that were not tried yet, the last one first
  std::string address_;              // that is tried
  TimePoint attempt_deadline_{};
  std::string nonce_;
  bool has_tls_ = false;
  std::shared_ptr<Link> link_;
  std::unordered_map<SubscriptionId, Subscription> subscriptions_;
  SubscriptionId last_subscription_ = 0;
  std::size_t max_payload_ = std::size_t{1} << 20;
  bool full_ = false;    // somebody was told so
  bool heard_ = false;   // since the last look
  bool sent_ = false;    // the same
  bool pinged_ = false;  // and it was not answered
};

}  // namespace leasepool::detail::nats
