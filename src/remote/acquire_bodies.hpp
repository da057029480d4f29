// What stands in the bodies of the frames by which a manager gets a pool of a node. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/duration.hpp"
#include "remote/lease_bodies.hpp"

namespace leasepool::detail::remote {

// The most bytes of a name that crosses.
inline constexpr std::size_t kMaxName = 256;

struct WantBody {
  Duration age{};     // how long it has waited: the oldest is served first
  Duration lasts{};   // for so long it may be offered a pool
  bool waits = true;  // else the node says at once that it has nothing
};

struct TakeBody {
  ExtendBody durations;
  std::string owner;
};

void put(Bytes& out, const WantBody& body);
void put(Bytes& out, const TakeBody& body);

// They throw DecodeError.
[[nodiscard]] WantBody get_want_body(ByteReader& reader);
[[nodiscard]] TakeBody get_take_body(ByteReader& reader);

}  // namespace leasepool::detail::remote
