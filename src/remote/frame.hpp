// Messages between a manager and a node, and the frames in them. Pure. What is decoded is not trusted: lengths and
// types are checked before anything is believed.
//
//   offset  size  of a message      numbers are little-endian
//        0     8  magic             "LPnode1" and a zero: the version of all that follows
//        8     8  from              the sender's instance: drawn at random when its process started
//       16     8  to                the receiver's; 0 where whoever listens is meant
//       24        frames, up to its end
//
//   offset  size  of a frame
//        0     4  size              of its body
//        4     4  type              FrameType
//        8     8  lease             that it is about, or a request's id; 0 where it is about none
//       16     8  number            of an item, in its stream; else as FrameType says
//       24        body
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail::remote {

enum class FrameType : std::uint32_t {
  // Items of a lease's two streams, numbered from 1 on (session.hpp).
  part = 1,      // either: a piece of the next call's arguments, or of the next outcome's bytes
  call = 2,      // manager: CallHead and the last piece
  cancel = 3,    // manager: of the call with the number that the body has
  extend = 4,    // manager: ExtendBody
  outcome = 5,   // node: OutcomeHead and the last piece
  extended = 6,  // node: holds from now on
  closed = 7,    // node: the last item; nothing of this lease runs any more. The body says why
  lend = 18,     // manager: LendBody; what follows is of this lease
  // About a lease, and not numbered.
  marks = 8,  // either: how far the streams have come; the number is the last item that was received
  end = 9,    // manager: kills what runs. Repeated until `closed` or `gone` comes
  gone = 10,  // node: there is no such lease
  // How a pool is got. The lease is the want's id, and becomes the lease's.
  want = 11,     // manager, to several nodes: WantBody
  unwant = 12,   // manager, to the same
  offer = 13,    // node: a pool is held for this want; the number is the offer's. OfferBody
  take = 14,     // manager: of the offer with the number; TakeBody
  decline = 15,  // manager: of the offer with the number
  grant = 16,    // node: the lease is there; GrantBody
  refuse = 17,   // node: the offer with the number does not stand any more
  busy = 19,     // node: it has no free pool for a want that does not wait; BusyBody
  // How long the way is.
  echo = 20,  // manager; and the node returns it as it is
  // Which nodes there are.
  who = 21,   // anybody, to all nodes
  here = 22,  // node: NodeInfo (info_body.hpp)
  // That there is one more to ask.
  join = 23,  // node, to all managers: it lends pools; the number is 1 the first time, 0 when it has connected again
  // That it stops when its leases have ended.
  drain = 24,  // node, with each heartbeat: pools that are only kept ready are to be given back
};
inline constexpr std::uint32_t kLastFrameType = 24;

inline constexpr std::size_t kMessageHeaderSize = 24;
inline constexpr std::size_t kFrameHeaderSize = 24;

// The most bytes of one piece of a call or of an outcome.
inline constexpr std::size_t kMaxPart = std::size_t{128} << 10;

struct Frame {
  FrameType type{};
  std::uint64_t lease = 0;
  std::uint64_t number = 0;
  std::span<const std::byte> body{};
};

void put_number(Bytes& out, std::uint64_t number);
// Throws DecodeError.
[[nodiscard]] std::uint64_t get_number(ByteReader& reader);
// As a number of nanoseconds. Throws DecodeError.
void put_duration(Bytes& out, Duration duration);
[[nodiscard]] Duration get_duration(ByteReader& reader);
// The rest of what it reads.
[[nodiscard]] std::span<const std::byte> get_rest(ByteReader& reader);

class MessageWriter {
 public:
  MessageWriter(std::uint64_t from, std::uint64_t to);

  // `head` and `body` become the frame's body.
  void add(const Frame& frame, std::span<const std::byte> head = {});

  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  [[nodiscard]] bool empty() const noexcept { return bytes_.size() == kMessageHeaderSize; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_.view(); }
  // For the next message, between the same two.
  void clear() noexcept { bytes_.resize(kMessageHeaderSize); }

 private:
  Bytes bytes_;
};

// Throws DecodeError when the message is none of ours.
class MessageReader {
 public:
  explicit MessageReader(std::span<const std::byte> message);

  [[nodiscard]] std::uint64_t from() const noexcept { return from_; }
  [[nodiscard]] std::uint64_t to() const noexcept { return to_; }

  // The next frame, whose body lies in the message; none at its end. Throws DecodeError when what follows is no frame.
  [[nodiscard]] std::optional<Frame> next();

 private:
  ByteReader reader_;
  std::uint64_t from_ = 0;
  std::uint64_t to_ = 0;
};

}  // namespace leasepool::detail::remote
