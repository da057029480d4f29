// The text protocol of core NATS, as a client speaks it. Pure: bytes in, frames out, and the other way round.
//
//   from the server                                         to the server
//   INFO {json}                                             CONNECT {json}
//   MSG subject sid [reply] size, payload                   PUB subject [reply] size, payload
//   HMSG subject sid [reply] header-size size, both         SUB pattern sid
//   PING, PONG, +OK, -ERR 'text'                            UNSUB sid, PING, PONG
//
// Each line and each payload ends with CR LF. (https://docs.nats.io/reference/reference-protocols/nats-protocol)
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "nats/bus.hpp"

namespace leasepool::detail::nats {

// Of a line: INFO names all servers of a cluster, and what a peer published under the server's own limit of 4 KiB comes
// back a little longer.
inline constexpr std::size_t kMaxLine = std::size_t{64} << 10;

// The most that a server's configuration allows of a payload with its headers.
inline constexpr std::size_t kMaxPayload = std::size_t{64} << 20;

// What the server sent; the views are of the bytes that were decoded.
struct Frame {
  enum class Kind : std::uint8_t { info, message, ping, pong, ok, error };

  Kind kind = Kind::ok;
  std::string_view text{};  // of info: JSON; of error: what the server says
  SubscriptionId subscription = 0;
  BusMessage message{};
};

struct Decoded {
  enum class State : std::uint8_t { incomplete, complete, broken };

  State state = State::incomplete;
  Frame frame{};
  std::size_t size = 0;          // of complete: how many bytes the frame took
  std::string_view violation{};  // of broken: how the bytes break the protocol; lives for good
};

// The first frame of what was received. Bytes from anywhere: a bound on each line and number; subject and reply may be
// anything but white space. A message with headers shows its payload alone.
[[nodiscard]] Decoded decode(std::string_view received, std::size_t max_payload) noexcept;

inline constexpr std::string_view kPing = "PING\r\n";
inline constexpr std::string_view kPong = "PONG\r\n";

// These append to `out`; they throw std::bad_alloc, and then `out` is as it was. Subjects and patterns are valid.
void encode_publish(std::string& out, std::string_view subject, std::string_view reply,
                    std::span<const std::byte> payload);
void encode_subscribe(std::string& out, std::string_view pattern, SubscriptionId id);
void encode_unsubscribe(std::string& out, SubscriptionId id);

// What a client says of itself; what is empty is left out.
struct Greeting {
  std::string name{};
  std::string user{};
  std::string password{};
  std::string token{};
  std::string jwt{};
  std::string nkey{};       // a public key
  std::string signature{};  // of the server's nonce
  bool tls = false;         // this connection is under it
};
void encode_connect(std::string& out, const Greeting& greeting);

}  // namespace leasepool::detail::nats
