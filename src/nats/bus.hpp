// Bus: messages by subject, at most once, as core NATS has them. Behind it is a connection to a server, or a MemoryBus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "leasepool/error.hpp"

namespace leasepool::detail::nats {

// What was received; only for as long as the handler runs.
struct BusMessage {
  std::string_view subject{};
  std::string_view reply{};  // where an answer is to go; empty: nowhere
  std::span<const std::byte> payload{};
  // The server says that nobody had subscribed to what was published with this message's subject as `reply`. There is
  // no payload then.
  bool no_responders = false;
};

// Names a subscription; 0 names none.
using SubscriptionId = std::uint64_t;

enum class Published : std::uint8_t {
  taken,          // it goes out, once, or is lost with the connection
  not_connected,  // nothing is kept for later
  queue_full,     // the server does not read fast enough: bus_has_room() follows
  too_large,      // over max_payload()
  bad_subject,    // the subject or the reply is none; see subject.hpp
  no_memory,
};

enum class BusState : std::uint8_t { connecting, connected, closed };

// Loop thread only, never inside a call of the bus. May call anything of the bus, and close it.
class BusOwner {
 public:
  // The server has every subscription, and takes what is published. After a reconnect, too.
  virtual void bus_connected() = 0;

  // The connection was lost, or an attempt to make one failed: the reason has the server's address. Attempts go on, so
  // this comes again with each that fails. What was published since bus_connected() has arrived or is lost.
  virtual void bus_disconnected(const Error& reason) = 0;

  // After a publish() that returned queue_full, while it is still connected.
  virtual void bus_has_room() = 0;

  // The server's configuration forbids this user a subject, which the error names; nothing else has changed. A
  // subscription that was refused receives nothing; what was published there is lost.
  virtual void bus_refused(const Error& reason) = 0;

 protected:
  ~BusOwner() = default;
};

// Loop thread only.
class Bus {
 public:
  // Runs in a turn of the loop, never inside a call of the bus. May call anything of the bus, unsubscribe this one and
  // close the bus, too. Takes no exception back: it throws nothing.
  using Handler = std::move_only_function<void(const BusMessage&)>;

  Bus() = default;
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;
  virtual ~Bus() = default;

  // Messages to a subject, or to those that match a pattern: "*" stands for one token, ">" at the end for the rest. The
  // bus keeps it, and subscribes again after each reconnect. While connected it is on its way: what this client
  // publishes behind it finds it. Own messages come back, too. Throws std::bad_alloc, and then there is none; a bad
  // pattern is our own mistake.
  virtual SubscriptionId subscribe(std::string_view pattern, Handler handler) = 0;

  // Its handler does not run any more. Nothing if it is not there.
  virtual void unsubscribe(SubscriptionId id) noexcept = 0;

  // The bytes are copied. With a reply, a server that finds nobody who has subscribed to the subject says so at once:
  // by a message `no_responders` to `reply`, if this client has subscribed to that. So that each can be told apart, a
  // reply is a subject of its own below what a subscription with a wildcard matches.
  [[nodiscard]] virtual Published publish(std::string_view subject, std::span<const std::byte> payload,
                                          std::string_view reply = {}) noexcept = 0;

  // Of the server that it is connected to, in bytes; of the last one while it is not, and 1 MiB before the first.
  [[nodiscard]] virtual std::size_t max_payload() const noexcept = 0;

  [[nodiscard]] virtual BusState state() const noexcept = 0;

  // What was published goes out first, if the server takes it soon. Nothing is called back any more, and the owner and
  // what handlers refer to may go. Its destructor does the same; but it is kept while a handler runs, so that one that
  // drops it closes it first.
  virtual void close() noexcept = 0;
};

}  // namespace leasepool::detail::nats
