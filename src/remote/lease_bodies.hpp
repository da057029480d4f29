// What stands in the bodies of a lease's items, and how texts stand in any. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail::remote {

// The most bytes of a name that crosses.
inline constexpr std::size_t kMaxName = 256;

// Of a call, before its arguments. Durations cross machines, points in time do not.
struct CallHead {
  std::uint64_t function = 0;   // its id
  std::uint64_t signature = 0;  // a hash of its types
  Duration timeout = Duration::max();
  Duration queue_timeout = Duration::max();
};

enum class OutcomeKind : std::uint64_t { value = 1, exception, failure };

// Of an outcome, before what encodes it.
struct OutcomeHead {
  std::uint64_t call = 0;  // its number
  OutcomeKind kind = OutcomeKind::failure;
  bool may_have_run = true;
  Duration ran_for{};
};

struct ExtendBody {
  Duration until_soft{};
  Duration grace{};
};

struct LendBody {
  ExtendBody durations;
  std::string owner;
};

// Why a node has closed a lease.
enum class CloseReason : std::uint64_t {
  ended = 1,  // the manager asked for it
  expired,    // the node's own deadline passed
  stopped,    // the node stops at once
  refused,    // what came broke the protocol
};

// The last item of a node's stream: all that was accepted has its outcome before it.
struct ClosedBody {
  CloseReason reason = CloseReason::ended;
  std::uint64_t accepted = 0;  // the last item of the manager's that was; nothing behind it will be
};

void put(Bytes& out, const CallHead& head);
void put(Bytes& out, const OutcomeHead& head);
void put(Bytes& out, const ExtendBody& body);
void put(Bytes& out, const LendBody& body);
void put(Bytes& out, const ClosedBody& body);
// At most kMaxName bytes of it.
void put_text(Bytes& out, std::string_view text);

// They throw DecodeError.
[[nodiscard]] CallHead get_call_head(ByteReader& reader);
[[nodiscard]] OutcomeHead get_outcome_head(ByteReader& reader);
[[nodiscard]] ExtendBody get_extend_body(ByteReader& reader);
[[nodiscard]] LendBody get_lend_body(ByteReader& reader);
[[nodiscard]] std::string get_text(ByteReader& reader);
[[nodiscard]] ClosedBody get_closed_body(ByteReader& reader);

}  // namespace leasepool::detail::remote
