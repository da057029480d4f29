// Copies in and out, around the end of the ring.
#include "wire/byte_ring.hpp"

#include <algorithm>
#include <cstring>

#include "base/check.hpp"

namespace leasepool::detail {

std::size_t ByteRingWriter::room(std::size_t wanted) {
  if (known_room_ >= wanted) return known_room_;
  const std::uint64_t unread = written_ - ring_->read.load(std::memory_order_acquire);
  if (unread > ByteRing::kSize) throw DecodeError("it read what was not written to its ring");
  known_room_ = ByteRing::kSize - static_cast<std::size_t>(unread);
  return known_room_;
}

void ByteRingWriter::write(std::span<const std::byte> bytes) noexcept {
  check(bytes.size() <= known_room_, "no more is written to a ring than it has room for");
  known_room_ -= bytes.size();
  const std::size_t at = written_ % ByteRing::kSize;
  const std::size_t before_end = std::min(bytes.size(), ByteRing::kSize - at);
  if (before_end != 0) std::memcpy(ring_->bytes.data() + at, bytes.data(), before_end);
  if (before_end != bytes.size()) {
    std::memcpy(ring_->bytes.data(), bytes.data() + before_end, bytes.size() - before_end);
  }
  written_ += bytes.size();
}

void ByteRingReader::refresh() {
  const std::uint64_t written = ring_->written.load(std::memory_order_acquire);
  if (written - read_ > ByteRing::kSize) throw DecodeError("it wrote more to its ring than there is room for");
  seen_ = written;
}

std::size_t ByteRingReader::read(std::span<std::byte> into) noexcept {
  check(seen_ - read_ <= ByteRing::kSize, "no more is read from a ring than it holds");
  const std::size_t size = std::min(into.size(), static_cast<std::size_t>(seen_ - read_));
  if (size == 0) return 0;
  const std::size_t at = read_ % ByteRing::kSize;
  const std::size_t before_end = std::min(size, ByteRing::kSize - at);
  std::memcpy(into.data(), ring_->bytes.data() + at, before_end);
  if (before_end != size) std::memcpy(into.data() + before_end, ring_->bytes.data(), size - before_end);
  read_ += size;
  ring_->read.store(read_, std::memory_order_release);
  return size;
}

}  // namespace leasepool::detail
