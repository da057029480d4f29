// What stands in the bodies of the frames by which a manager gets a pool of a node. Pure.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/duration.hpp"
#include "remote/lease_bodies.hpp"

namespace leasepool::detail::remote {

struct WantBody {
  Duration age{};           // how long it has waited: the oldest is served first
  Duration lasts{};         // for so long it may be offered a pool
  bool waits = true;        // else the node says at once that it has nothing
  std::uint64_t build = 0;  // of the functions, as functions_build() has it; 0: any
};

struct OfferBody {
  std::string node;  // its name: with its instance, where it listens
};

struct TakeBody {
  ExtendBody durations;
  std::string owner;
  std::uint64_t window = UINT64_MAX;       // of the lease's streams, at most
  std::uint64_t max_payload = UINT64_MAX;  // of one result, at most
};

// What a node is, and gives.
struct GrantBody {
  // What arguments and results are encoded for: they cross as worker processes of one machine have them.
  static constexpr std::uint64_t kFormat =
      (std::uint64_t{1} << 16) | (sizeof(void*) << 8) | (std::endian::native == std::endian::little ? 1U : 2U);
  std::uint64_t format = kFormat;
  std::uint64_t build = 0;
  std::uint64_t catalogue = 0;
  std::uint64_t workers = 1;
  std::uint64_t window = UINT64_MAX;
  std::uint64_t max_payload = UINT64_MAX;
};

// Who has a node's pools.
struct BusyBody {
  static constexpr std::size_t kMostHolders = 8;
  struct Holder {
    std::string owner;
    Duration age{};
  };
  std::string node;
  std::uint64_t leases = 0;
  std::vector<Holder> holders;  // the oldest ones
};

void put(Bytes& out, const WantBody& body);
void put(Bytes& out, const OfferBody& body);
void put(Bytes& out, const TakeBody& body);
void put(Bytes& out, const GrantBody& body);
void put(Bytes& out, const BusyBody& body);

// They throw DecodeError.
[[nodiscard]] WantBody get_want_body(ByteReader& reader);
[[nodiscard]] OfferBody get_offer_body(ByteReader& reader);
[[nodiscard]] TakeBody get_take_body(ByteReader& reader);
[[nodiscard]] GrantBody get_grant_body(ByteReader& reader);
[[nodiscard]] BusyBody get_busy_body(ByteReader& reader);

}  // namespace leasepool::detail::remote
