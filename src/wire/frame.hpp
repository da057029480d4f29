// Frames: the messages between parent and worker, a fixed header and a payload, and descriptors beside them. Pure: no
// system call but to close descriptors that nobody takes, which the parent leaves to others. What is decoded is not
// trusted: lengths, types and numbers are checked before anything is allocated or believed.
//
//   offset  size  field            byte order of the host: both ends run on it
//        0     4  magic            "LPf1"
//        4     2  type             FrameType
//        6     2  descriptors      how many are sent with its first byte, at most kMaxDescriptors
//        8     8  payload length   bytes after the header, at most the decoder's limit
//       16     8  call id          of the call it is about; 0 in hello
//       24     8  function id      in call frames; of an outcome: the nanoseconds that the function ran, or
//                                  kNotMeasured; else 0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/descriptors.hpp"

namespace leasepool::detail {

enum class FrameType : std::uint32_t {
  hello = 1,       // worker: ready for calls
  call = 2,        // parent: run a function; the payload is its encoded arguments
  value = 3,       // worker: the encoded result
  exception = 4,   // worker: the function threw; the payload is an encoded exception
  failure = 5,     // worker: the call failed without the function's doing; the payload is an encoded failure
  sandbox = 6,     // parent: the paths of Sandbox::files(), before the hello
  via_socket = 7,  // either, in a ring of shared memory: the next frame comes through the socket
  wake = 8,        // either, through the socket: there is something in the ring; nothing else
  large_call = 9,  // parent: as call; its arguments are in ArgumentMemory, the payload is how many bytes they are
  // Parent: in the place of a call whose descriptors the kernel refused. Worker: it has passed that place.
  refused_call = 10,
};

inline constexpr std::size_t kFrameHeaderSize = 32;

inline constexpr std::uint64_t kNotMeasured = UINT64_MAX;

// How much of a ring is kept free for frames `via_socket`: each frame under way needs at most one.
inline constexpr std::size_t kMaxFramesUnderWay = 256;
inline constexpr std::size_t kReservedRoom = kMaxFramesUnderWay * kFrameHeaderSize;

struct Frame {
  FrameType type{};
  std::uint64_t call_id = 0;
  std::uint64_t function_id = 0;
  std::span<const std::byte> payload;  // valid until the decoder is used again
  std::span<Fd> descriptors;           // the same; what nobody has moved out of them by then is closed
  std::size_t lost_descriptors = 0;    // how many more it announces
  bool lost_here = false;              // because this process had no room for them; else they were not sent
  Bytes* whole = nullptr;              // a large frame's own bytes, which end with its payload: may be moved out
};

// Starts a frame: room for the header, behind which the payload is appended.
[[nodiscard]] Bytes begin_frame();

// The same in bytes that were used before, which needs no memory.
void begin_frame_in(Bytes& used);

// Fills in the header of a frame whose payload is complete.
void finish_frame(Bytes& frame, FrameType type, std::uint64_t call_id, std::uint64_t function_id,
                  std::size_t descriptors = 0);

// Makes a finished frame one of type refused_call, about the same call and with nothing in it. Needs no memory.
void refuse_frame(Bytes& frame) noexcept;

// A frame of which there is nothing to say but its type.
using EmptyFrame = std::array<std::byte, kFrameHeaderSize>;
[[nodiscard]] EmptyFrame empty_frame(FrameType type) noexcept;

// Cuts a stream of bytes into frames, and gives each the descriptors that it announces.
class FrameDecoder {
 public:
  // What is to be done with descriptors that nobody takes.
  using Close = void (*)(Descriptors&&) noexcept;
  static void close_here(Descriptors&& descriptors) noexcept { const Descriptors closed = std::move(descriptors); }

  explicit FrameDecoder(std::size_t max_payload, Close close = close_here) : max_payload_(max_payload), close_(close) {}
  FrameDecoder(FrameDecoder&&) noexcept = default;
  FrameDecoder& operator=(FrameDecoder&&) noexcept = default;
  ~FrameDecoder();

  // Where the next bytes of the stream go; never empty. Filling it ends the last frame's payload.
  [[nodiscard]] std::span<std::byte> space();
  void filled(std::size_t count);

  // Descriptors that come with the bytes that are filled in next are to be appended here: there is room for as many as
  // the kernel passes.
  [[nodiscard]] Descriptors& space_for_descriptors();
  // They came; or there were more, for which this process had no room. As the kernel ends a read where it hands
  // descriptors over, they are those of one frame.
  void descriptors_came(bool some_lost) noexcept;

  // The next complete frame, if there is one. Throws DecodeError when the stream is not made of frames; it is then of
  // no more use.
  [[nodiscard]] std::optional<Frame> next();

  // Ends the last frame: closes those of its descriptors that nobody has moved out.
  void end_frame() noexcept {
    if (!given_.empty()) drop(given_);
  }

  // The call that the frame is about which is not complete; 0 as long as its header is not there.
  [[nodiscard]] std::uint64_t pending_call_id() const noexcept;

  // Bytes of a frame that is not complete.
  [[nodiscard]] std::size_t pending() const noexcept { return buffer_.size() - begin_; }

 private:
  // What came with one read.
  struct Arrival {
    std::size_t count = 0;
    bool some_lost = false;
    [[nodiscard]] std::size_t sent_at_least() const noexcept { return count + (some_lost ? 1 : 0); }
  };

  [[nodiscard]] std::size_t wanted() const;
  [[nodiscard]] Arrival give_descriptors(std::size_t announced);
  void check_unclaimed() const;
  void drop(Descriptors& descriptors) const noexcept;

  std::size_t max_payload_;
  Close close_;
  Bytes buffer_;  // [begin_, size): received and not yet given out
  Bytes whole_;   // of the last frame, if it was large
  std::size_t begin_ = 0;
  Descriptors waiting_;                // received, of frames that are not yet given out
  Descriptors given_;                  // of the last frame
  std::array<Arrival, 2> arrivals_{};  // of the frame that has begun, and of the one behind it
  std::size_t arrived_ = 0;            // so many of them
  bool arrived_too_often_ = false;
};

}  // namespace leasepool::detail
