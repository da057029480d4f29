// Headers in and out, and the decoder's buffer.
#include "wire/frame.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <new>
#include <string>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

namespace {

constexpr std::uint32_t kMagic = 0x3166504c;  // "LPf1"
constexpr std::size_t kReadSize = std::size_t{64} << 10;
constexpr std::size_t kKeptCapacity = std::size_t{1} << 20;  // a larger buffer is given back after its frame

constexpr std::size_t kLeastCapacity = 256;
constexpr const char* kUnannounced = "descriptors that no frame announces";

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
  frame.reserve(kLeastCapacity);
  frame.resize(kFrameHeaderSize);
  return frame;
}

void begin_frame_in(Bytes& used) {
  if (used.capacity() > kKeptCapacity) {
    try {
      used = begin_frame();
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then it stays as large for now
    }
  }
  used.reserve(kLeastCapacity);
  used.resize(kFrameHeaderSize);
}

void finish_frame(Bytes& frame, FrameType type, std::uint64_t call_id, std::uint64_t function_id,
                  std::size_t descriptors) {
  check(frame.size() >= kFrameHeaderSize, "a frame has room for its header");
  check(descriptors <= kMaxDescriptors, "a frame has no more descriptors than the kernel passes");
  const Header header{.magic = kMagic,
                      .type = static_cast<std::uint16_t>(type),
                      .descriptors = static_cast<std::uint16_t>(descriptors),
                      .payload_length = frame.size() - kFrameHeaderSize,
                      .call_id = call_id,
                      .function_id = function_id};
  std::memcpy(frame.data(), &header, sizeof header);
}

void refuse_frame(Bytes& frame) noexcept {
  Header header{};
  std::memcpy(&header, frame.data(), sizeof header);
  frame.resize(kFrameHeaderSize);
  finish_frame(frame, FrameType::refused_call, header.call_id, 0);
}

EmptyFrame empty_frame(FrameType type) noexcept {
  const Header header{.magic = kMagic,
                      .type = static_cast<std::uint16_t>(type),
                      .descriptors = 0,
                      .payload_length = 0,
                      .call_id = 0,
                      .function_id = 0};
  EmptyFrame frame;
  std::memcpy(frame.data(), &header, sizeof header);
  return frame;
}

// How many bytes the frame at begin_ needs in all, as far as is known; checks its header.
std::size_t FrameDecoder::wanted() const {
  if (pending() < kFrameHeaderSize) return kFrameHeaderSize;
  Header header{};
  std::memcpy(&header, buffer_.data() + begin_, sizeof header);
  if (header.magic != kMagic) throw DecodeError("not a frame: wrong magic number");
  if (header.type < static_cast<std::uint16_t>(FrameType::hello) ||
      header.type > static_cast<std::uint16_t>(FrameType::refused_call)) {
    throw DecodeError("a frame of unknown type " + std::to_string(header.type));
  }
  if (header.descriptors > kMaxDescriptors) {
    throw DecodeError("a frame with " + std::to_string(header.descriptors) + " descriptors where " +
                      std::to_string(kMaxDescriptors) + " are allowed");
  }
  if (header.payload_length > max_payload_) {
    throw DecodeError("a frame of " + std::to_string(header.payload_length) + " bytes where " +
                      std::to_string(max_payload_) + " are allowed");
  }
  return kFrameHeaderSize + header.payload_length;
}

FrameDecoder::~FrameDecoder() {
  drop(given_);
  drop(waiting_);
}

std::optional<Frame> FrameDecoder::next() {
  end_frame();
  if (buffer_.capacity() == 0) {  // what was the last frame's own is for what comes, unless somebody moved it out
    std::swap(buffer_, whole_);
    begin_ = buffer_.size();
  }
  if (arrived_too_often_) throw DecodeError(kUnannounced);
  const std::size_t size = wanted();
  if (pending() < size) {
    check_unclaimed();
    return std::nullopt;
  }
  Header header{};
  std::memcpy(&header, buffer_.data() + begin_, sizeof header);
  const Arrival arrival = give_descriptors(header.descriptors);
  Frame frame{.type = static_cast<FrameType>(header.type),
              .call_id = header.call_id,
              .function_id = header.function_id,
              .payload = buffer_.view().subspan(begin_ + kFrameHeaderSize, header.payload_length),
              .descriptors = given_,
              .lost_descriptors = header.descriptors - arrival.count,
              .lost_here = arrival.some_lost};
  begin_ += size;
  if (size > kReadSize && begin_ == buffer_.size()) {
    whole_ = std::exchange(buffer_, {});
    begin_ = 0;
    frame.whole = &whole_;
  }
  return frame;
}

std::uint64_t FrameDecoder::pending_call_id() const noexcept {
  if (pending() < kFrameHeaderSize) return 0;
  Header header{};
  std::memcpy(&header, buffer_.data() + begin_, sizeof header);
  return header.call_id;
}

void FrameDecoder::drop(Descriptors& descriptors) const noexcept {
  std::erase_if(descriptors, [](const Fd& fd) { return !fd; });  // that were taken
  if (!descriptors.empty()) close_(std::exchange(descriptors, {}));
}

// Returns what came with the frame: of those behind it none, however few it has.
FrameDecoder::Arrival FrameDecoder::give_descriptors(std::size_t announced) {
  if (announced == 0 || arrived_ == 0) return {};
  const Arrival arrival = arrivals_.front();
  if (arrival.sent_at_least() > announced) throw DecodeError(kUnannounced);
  const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(arrival.count);
  given_.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  arrivals_.front() = arrivals_.back();
  --arrived_;
  return arrival;
}

// After every complete frame: what is left can only be of the one that has begun.
void FrameDecoder::check_unclaimed() const {
  if (arrived_ == 0) return;
  std::size_t announced = pending() == 0 ? 0 : kMaxDescriptors;
  if (pending() >= kFrameHeaderSize) {
    Header header{};
    std::memcpy(&header, buffer_.data() + begin_, sizeof header);
    announced = header.descriptors;
  }
  if (arrived_ > 1 || arrivals_.front().sent_at_least() > announced) throw DecodeError(kUnannounced);
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

Descriptors& FrameDecoder::space_for_descriptors() {
  waiting_.reserve(waiting_.size() + kMaxDescriptors);
  return waiting_;
}

void FrameDecoder::descriptors_came(bool some_lost) noexcept {
  std::size_t count = waiting_.size();
  for (std::size_t i = 0; i < arrived_; ++i) count -= arrivals_[i].count;
  if (count == 0 && !some_lost) return;
  if (arrived_ == arrivals_.size()) return void(arrived_too_often_ = true);
  arrivals_[arrived_++] = {.count = count, .some_lost = some_lost};
}

}  // namespace leasepool::detail
