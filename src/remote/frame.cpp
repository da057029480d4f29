// Messages written and read.
#include "remote/frame.hpp"

#include <array>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail::remote {

namespace {

constexpr std::array<char, 8> kMagic = {'L', 'P', 'n', 'o', 'd', 'e', '1', '\0'};

std::array<std::byte, 8> little_endian(std::uint64_t number) noexcept {
  std::array<std::byte, 8> bytes{};
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(number);
    number >>= 8;
  }
  return bytes;
}

void put_half(Bytes& out, std::uint32_t number) { out.append(little_endian(number).data(), sizeof number); }

std::uint64_t read_number(ByteReader& reader, std::size_t size) {
  std::array<std::byte, 8> bytes{};
  reader.read(bytes.data(), size);
  std::uint64_t number = 0;
  for (std::size_t i = bytes.size(); i > 0; --i) number = number << 8 | std::to_integer<std::uint64_t>(bytes[i - 1]);
  return number;
}

}  // namespace

void put_number(Bytes& out, std::uint64_t number) { out.append(little_endian(number).data(), sizeof number); }

std::uint64_t get_number(ByteReader& reader) { return read_number(reader, sizeof(std::uint64_t)); }

void put_duration(Bytes& out, Duration duration) { put_number(out, static_cast<std::uint64_t>(duration.count())); }

Duration get_duration(ByteReader& reader) {
  const auto count = static_cast<std::int64_t>(get_number(reader));
  if (count < 0) throw DecodeError("a negative duration");
  return Duration(count);
}

std::span<const std::byte> get_rest(ByteReader& reader) {
  const std::size_t left = reader.left();
  const std::span<const std::byte> rest(reader.peek<std::byte>(left), left);
  reader.skip(left);
  return rest;
}

MessageWriter::MessageWriter(std::uint64_t from, std::uint64_t to) {
  bytes_.append(kMagic.data(), kMagic.size());
  put_number(bytes_, from);
  put_number(bytes_, to);
}

void MessageWriter::add(const Frame& frame, std::span<const std::byte> head) {
  const std::size_t size = head.size() + frame.body.size();
  check(size <= std::numeric_limits<std::uint32_t>::max(), "a frame's body has a size that a frame can say");
  bytes_.reserve(bytes_.size() + kFrameHeaderSize + size);
  put_half(bytes_, static_cast<std::uint32_t>(size));
  put_half(bytes_, std::to_underlying(frame.type));
  put_number(bytes_, frame.lease);
  put_number(bytes_, frame.number);
  bytes_.append(head);
  bytes_.append(frame.body);
}

MessageReader::MessageReader(std::span<const std::byte> message) : reader_(message) {
  std::array<char, kMagic.size()> magic{};
  reader_.read(magic.data(), magic.size());
  if (magic != kMagic) throw DecodeError("a message of another version, or of something else");
  from_ = get_number(reader_);
  to_ = get_number(reader_);
}

std::optional<Frame> MessageReader::next() {
  if (reader_.left() == 0) return std::nullopt;
  const auto size = static_cast<std::size_t>(read_number(reader_, sizeof(std::uint32_t)));
  const auto type = static_cast<std::uint32_t>(read_number(reader_, sizeof(std::uint32_t)));
  Frame frame;
  frame.lease = get_number(reader_);
  frame.number = get_number(reader_);
  if (type == 0 || type > kLastFrameType) throw DecodeError("a frame of the unknown type " + std::to_string(type));
  if (size > reader_.left()) {
    throw DecodeError("a frame of " + std::to_string(size) + " bytes where " + std::to_string(reader_.left()) +
                      " are left");
  }
  frame.type = static_cast<FrameType>(type);
  frame.body = {reader_.peek<std::byte>(size), size};
  reader_.skip(size);
  return frame;
}

}  // namespace leasepool::detail::remote
