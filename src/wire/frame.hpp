// Frames: the messages between parent and worker, a fixed header and a payload, and descriptors beside them. Pure: no
// system call but to close descriptors that nobody takes. What is decoded is not trusted: lengths, types and numbers
// are checked before anything is allocated or believed.
//
//   offset  size  field            byte order of the host: both ends run on it
//        0     4  magic            "LPf1"
//        4     2  type             FrameType
//        6     2  descriptors      how many are sent with its first byte, at most kMostDescriptors
//        8     8  payload length   bytes after the header, at most the decoder's limit
//       16     8  call id          of the call it is about; 0 in hello
//       24     8  function id      in call frames; of an outcome: the nanoseconds that the function ran; else 0
#pragma once

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
  elsewhere = 7,   // either, in a ring of shared memory: the next frame comes through the socket
  wake = 8,        // either, through the socket: there is something in the ring; nothing else
  large_call = 9,  // parent: as call; its arguments are in ArgumentMemory, the payload is how many bytes they are
};

inline constexpr std::size_t kFrameHeaderSize = 32;

// How much of a ring is kept free for frames `elsewhere`: each frame under way needs at most one.
inline constexpr std::size_t kMostFramesUnderWay = 64;
inline constexpr std::size_t kReservedRoom = kMostFramesUnderWay * kFrameHeaderSize;

struct Frame {
  FrameType type{};
  std::uint64_t call_id = 0;
  std::uint64_t function_id = 0;
  std::span<const std::byte> payload;  // valid until the decoder is used again
  std::span<Fd> descriptors;           // the same; what nobody has moved out of them by then is closed
  std::size_t lost_descriptors = 0;    // how many more it announces
  bool lost_here = false;              // because this process had no room for them; else they were not sent
};

// What has come with a message besides its bytes.
struct Arrival {
  Descriptors descriptors;
  bool some_lost = false;  // more were sent, but this process may not open any more
};

// Starts a frame: room for the header, behind which the payload is appended.
[[nodiscard]] Bytes begin_frame();

// The same in bytes that were used before.
void begin_frame_in(Bytes& used);

// Fills in the header of a frame whose payload is complete.
void finish_frame(Bytes& frame, FrameType type, std::uint64_t call_id, std::uint64_t function_id,
                  std::size_t descriptors = 0);

// Cuts a stream of bytes into frames, and gives each the descriptors that it announces.
class FrameDecoder {
 public:
  explicit FrameDecoder(std::size_t max_payload) : max_payload_(max_payload) {}

  // Where the next bytes of the stream go; never empty. Filling it ends the last frame's payload.
  [[nodiscard]] std::span<std::byte> space();
  void filled(std::size_t count);

  // What has come besides the bytes that are filled in next. As the kernel ends a read where it hands over descriptors,
  // they are those of one frame.
  void came_with(Arrival arrival);

  // The next complete frame, if there is one. Throws DecodeError when the stream is not made of frames; it is then of
  // no more use.
  [[nodiscard]] std::optional<Frame> next();

  // Ends the last frame: closes those of its descriptors that nobody has moved out.
  void end_frame() noexcept { given_.clear(); }

  // The call that the frame is about which is not complete; 0 as long as its header is not there.
  [[nodiscard]] std::uint64_t pending_call_id() const noexcept;

  // Bytes of a frame that is not complete.
  [[nodiscard]] std::size_t pending() const noexcept { return buffer_.size() - begin_; }

 private:
  [[nodiscard]] std::size_t wanted() const;
  std::size_t give_descriptors(std::size_t announced);
  void check_unclaimed() const;

  std::size_t max_payload_;
  Bytes buffer_;  // [begin_, size): received and not yet given out
  std::size_t begin_ = 0;
  Descriptors waiting_;  // received, of frames that are not yet given out
  Descriptors given_;    // of the last frame
  bool some_lost_ = false;
};

}  // namespace leasepool::detail
