// Headers in and out, and the decoder's buffer.
#include "wire/frame.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

namespace {

constexpr std::uint32_t kMagic = 0x3166504c;  // "LPf1"
constexpr std::size_t kReadSize = std::size_t{64} << 10;
constexpr std::size_t kKeptCapacity = std::size_t{1} << 20;  // a larger buffer is given back after its frame

struct Header {
  std::uint32_t magic;
  std::uint16_t type;
  std::uint16_t descriptors;
  std::uint64_t payload_length;
  std::uint64_t call_id;
  std::uint64_t function_id;
};
static_assert(sizeof(Header) == kFrameHeaderSize);

}  // namespace

Bytes begin_frame() {
  Bytes frame;
  frame.reserve(256);
  frame.resize(kFrameHeaderSize);
  return frame;
}

void begin_frame_in(Bytes& used) {
  if (used.capacity() > kKeptCapacity) used = Bytes();
  used.reserve(256);
  used.resize(kFrameHeaderSize);
}

void finish_frame(Bytes& frame, FrameType type, std::uint64_t call_id, std::uint64_t function_id,
                  std::size_t descriptors) {
  check(frame.size() >= kFrameHeaderSize, "a frame has room for its header");
  check(descriptors <= kMostDescriptors, "a frame has no more descriptors than the kernel passes");
  const Header header{.magic = kMagic,
                      .type = static_cast<std::uint16_t>(type),
                      .descriptors = static_cast<std::uint16_t>(descriptors),
                      .payload_length = frame.size() - kFrameHeaderSize,
                      .call_id = call_id,
                      .function_id = function_id};
  std::memcpy(frame.data(), &header, sizeof header);
}

// How many bytes the frame at begin_ needs in all, as far as is known; checks its header.
std::size_t FrameDecoder::wanted() const {
  if (pending() < kFrameHeaderSize) return kFrameHeaderSize;
  Header header{};
  std::memcpy(&header, buffer_.data() + begin_, sizeof header);
  if (header.magic != kMagic) throw DecodeError("not a frame: wrong magic number");
  if (header.type < static_cast<std::uint16_t>(FrameType::hello) ||
      header.type > static_cast<std::uint16_t>(FrameType::large_call)) {
    throw DecodeError("a frame of unknown type " + std::to_string(header.type));
  }
  if (header.descriptors > kMostDescriptors) {
    throw DecodeError("a frame with " + std::to_string(header.descriptors) + " descriptors where " +
                      std::to_string(kMostDescriptors) + " are allowed");
  }
  if (header.payload_length > max_payload_) {
    throw DecodeError("a frame of " + std::to_string(header.payload_length) + " bytes where " +
                      std::to_string(max_payload_) + " are allowed");
  }
  return kFrameHeaderSize + header.payload_length;
}

std::optional<Frame> FrameDecoder::next() {
  given_.clear();
  const std::size_t size = wanted();
  if (pending() < size) {
    check_unclaimed();
    return std::nullopt;
  }
  Header header{};
  std::memcpy(&header, buffer_.data() + begin_, sizeof header);
  const std::size_t lost = give_descriptors(header.descriptors);
  const bool lost_here = lost != 0 && std::exchange(some_lost_, false);
  const Frame frame{.type = static_cast<FrameType>(header.type),
                    .call_id = header.call_id,
                    .function_id = header.function_id,
                    .payload = buffer_.view().subspan(begin_ + kFrameHeaderSize, header.payload_length),
                    .descriptors = given_,
                    .lost_descriptors = lost,
                    .lost_here = lost_here};
  begin_ += size;
  return frame;
}

std::uint64_t FrameDecoder::pending_call_id() const noexcept {
  if (pending() < kFrameHeaderSize) return 0;
  Header header{};
  std::memcpy(&header, buffer_.data() + begin_, sizeof header);
  return header.call_id;
}

// Gives how many of those that the frame announces are not there.
std::size_t FrameDecoder::give_descriptors(std::size_t announced) {
  if (announced == 0) return 0;
  const std::size_t came = std::min(announced, waiting_.size());
  const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(came);
  given_.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  return announced - came;
}

// After every complete frame: what is left can only be of the one that has begun.
void FrameDecoder::check_unclaimed() const {
  if (waiting_.empty() && !some_lost_) return;
  std::size_t announced = pending() == 0 ? 0 : kMostDescriptors;
  if (pending() >= kFrameHeaderSize) {
    Header header{};
    std::memcpy(&header, buffer_.data() + begin_, sizeof header);
    announced = header.descriptors;
  }
  if (waiting_.size() > announced || (some_lost_ && waiting_.size() == announced)) {
    throw DecodeError("descriptors that no frame announces");
  }
}

std::span<std::byte> FrameDecoder::space() {
  const std::size_t kept = pending();
  const std::size_t frame = wanted();
  // A large frame is read into a buffer of just its size; small ones share reads.
  const std::size_t needed = frame > kReadSize && frame > kept ? frame : kept + kReadSize;
  if (needed > buffer_.capacity() || buffer_.capacity() > std::max(kKeptCapacity, needed)) {
    Bytes fresh;
    fresh.reserve(needed);
    fresh.append(buffer_.view().subspan(begin_));
    buffer_ = std::move(fresh);
  } else if (begin_ != 0) {
    if (kept != 0) std::memmove(buffer_.data(), buffer_.data() + begin_, kept);
    buffer_.resize(kept);
  }
  begin_ = 0;
  return {buffer_.data() + kept, buffer_.capacity() - kept};
}

void FrameDecoder::filled(std::size_t count) {
  check(buffer_.size() + count <= buffer_.capacity(), "no more was filled in than there was space for");
  buffer_.resize(buffer_.size() + count);
}

void FrameDecoder::came_with(Arrival arrival) {
  std::ranges::move(arrival.descriptors, std::back_inserter(waiting_));
  some_lost_ = some_lost_ || arrival.some_lost;
}

}  // namespace leasepool::detail
