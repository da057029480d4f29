// Tests of the frame codec without a system call: round trips, limits, and bytes that are no frames.
#include "wire/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "catch.hpp"
#include "wire/frames.hpp"

using leasepool::detail::Bytes;
using leasepool::detail::DecodeError;
using leasepool::detail::FrameDecoder;
using leasepool::detail::FrameType;
using leasepool::detail::kFrameHeaderSize;
using leasepool::test::decode;
using leasepool::test::encode;
using leasepool::test::feed_once;
using leasepool::test::Message;
using leasepool::test::pattern;
using leasepool::test::to_message;

namespace {

constexpr std::size_t kLimit = std::size_t{1} << 20;
constexpr std::size_t kReadAhead = std::size_t{128} << 10;  // what small frames may cost, with room to spare
constexpr FrameType kAllTypes[] = {FrameType::hello,     FrameType::call,    FrameType::value,
                                   FrameType::exception, FrameType::failure, FrameType::sandbox};

// Overwrites a field of a frame's header.
template <class T>
void set_field(Bytes& frame, std::size_t offset, T value) {
  std::memcpy(frame.data() + offset, &value, sizeof value);
}

std::size_t capacity_of(FrameDecoder& decoder) {
  const std::size_t space = decoder.space().size();
  return space + decoder.pending();
}

}  // namespace

TEST_CASE("frames of every type come back as they were", "[frame]") {
  for (const FrameType type : kAllTypes) {
    for (const std::size_t size : {0U, 1U, 31U, 32U, 33U, 4096U, 65'536U, 200'000U}) {
      const Message message{
          .type = type, .call_id = 0x0123456789abcdef, .function_id = 0xfedcba9876543210, .payload = pattern(size)};
      FrameDecoder decoder(kLimit);
      REQUIRE(decode(decoder, encode(message).view()) == std::vector{message});
      REQUIRE(decoder.pending() == 0);
    }
  }
}

TEST_CASE("a header lies on the wire as documented", "[frame]") {
  const Bytes frame = encode({.type = FrameType::value, .call_id = 7, .function_id = 9, .payload = pattern(5)});
  REQUIRE(frame.size() == kFrameHeaderSize + 5);
  std::uint16_t type = 0;
  std::uint16_t descriptors = 1;
  std::uint64_t length = 0;
  std::uint64_t call_id = 0;
  std::uint64_t function_id = 0;
  std::memcpy(&type, frame.data() + 4, sizeof type);
  std::memcpy(&descriptors, frame.data() + 6, sizeof descriptors);
  std::memcpy(&length, frame.data() + 8, sizeof length);
  std::memcpy(&call_id, frame.data() + 16, sizeof call_id);
  std::memcpy(&function_id, frame.data() + 24, sizeof function_id);
  CHECK(std::memcmp(frame.data(), "LPf1", 4) == 0);
  CHECK(type == 3);
  CHECK(descriptors == 0);
  CHECK(length == 5);
  CHECK(call_id == 7);
  CHECK(function_id == 9);
}

TEST_CASE("a frame that comes byte by byte is given once it is whole, and not before", "[frame]") {
  const Message message{.type = FrameType::call, .call_id = 1, .function_id = 2, .payload = pattern(100)};
  const Bytes bytes = encode(message);
  FrameDecoder decoder(kLimit);
  for (std::size_t i = 0; i + 1 < bytes.size(); ++i) {
    REQUIRE(feed_once(decoder, bytes.view().subspan(i), 1) == 1);
    REQUIRE_FALSE(decoder.next());
    REQUIRE(decoder.pending() == i + 1);
  }
  CHECK(decode(decoder, bytes.view().last(1)) == std::vector{message});
}

TEST_CASE("many frames in one read are all given, in order", "[frame]") {
  Bytes stream;
  std::vector<Message> messages;
  for (std::size_t i = 0; i < 500; ++i) {
    messages.push_back({.type = FrameType::value, .call_id = i, .function_id = 0, .payload = pattern(i % 60)});
    stream.append(encode(messages.back()).view());
  }
  FrameDecoder decoder(kLimit);
  REQUIRE(decoder.space().size() >= stream.size());
  CHECK(decode(decoder, stream.view()) == messages);
}

TEST_CASE("a frame's payload stays valid until the decoder is used again", "[frame]") {
  const Message first{.type = FrameType::value, .call_id = 1, .function_id = 0, .payload = pattern(10, 1)};
  const Message second{.type = FrameType::value, .call_id = 2, .function_id = 0, .payload = pattern(10, 2)};
  Bytes stream;
  stream.append(encode(first).view());
  stream.append(encode(second).view());
  FrameDecoder decoder(kLimit);
  REQUIRE(feed_once(decoder, stream.view(), SIZE_MAX) == stream.size());
  const auto one = decoder.next();
  REQUIRE(one);
  CHECK(leasepool::test::to_message(*one) == first);
  const auto two = decoder.next();
  REQUIRE(two);
  CHECK(leasepool::test::to_message(*two) == second);
  CHECK_FALSE(decoder.next());
}

TEST_CASE("a payload of exactly the limit passes, and one byte more does not", "[frame]") {
  for (const std::size_t limit : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, kLimit}) {
    const Message fits{.type = FrameType::value, .call_id = 1, .function_id = 0, .payload = pattern(limit)};
    FrameDecoder decoder(limit);
    REQUIRE(decode(decoder, encode(fits).view()) == std::vector{fits});

    const Message too_large{.type = FrameType::value, .call_id = 1, .function_id = 0, .payload = pattern(limit + 1)};
    FrameDecoder strict(limit);
    REQUIRE_THROWS_AS(decode(strict, encode(too_large).view()), DecodeError);
  }
}

TEST_CASE("a frame over the limit is refused by its header alone, with both sizes named", "[frame]") {
  for (const std::uint64_t length : {std::uint64_t{1001}, std::uint64_t{1} << 62, UINT64_MAX, UINT64_MAX - 31}) {
    Bytes frame = encode({.type = FrameType::value, .call_id = 1, .function_id = 0, .payload = {}});
    set_field(frame, 8, length);
    FrameDecoder decoder(1000);
    REQUIRE_THROWS_WITH(decode(decoder, frame.view()),
                        ContainsSubstring(std::to_string(length)) && ContainsSubstring("1000"));
  }
}

TEST_CASE("a wrong magic number is refused", "[frame]") {
  for (std::size_t byte = 0; byte < 4; ++byte) {
    Bytes frame = encode({.type = FrameType::hello, .call_id = 0, .function_id = 0, .payload = {}});
    frame.data()[byte] ^= std::byte{1};
    FrameDecoder decoder(kLimit);
    REQUIRE_THROWS_AS(decode(decoder, frame.view()), DecodeError);
  }
}

TEST_CASE("an unknown type is refused by its number", "[frame]") {
  for (const int type : {0, 11, 0x100, UINT16_MAX}) {
    Bytes frame = encode({.type = FrameType::hello, .call_id = 0, .function_id = 0, .payload = {}});
    set_field(frame, 4, static_cast<std::uint16_t>(type));
    FrameDecoder decoder(kLimit);
    REQUIRE_THROWS_WITH(decode(decoder, frame.view()), ContainsSubstring(std::to_string(type)));
  }
}

TEST_CASE("a broken frame behind a good one is found when its turn comes", "[frame]") {
  const Message good{.type = FrameType::value, .call_id = 1, .function_id = 0, .payload = pattern(10)};
  Bytes stream;
  stream.append(encode(good).view());
  stream.append(pattern(kFrameHeaderSize));
  FrameDecoder decoder(kLimit);
  REQUIRE(feed_once(decoder, stream.view(), SIZE_MAX) == stream.size());
  const auto first = decoder.next();
  REQUIRE(first);
  CHECK(leasepool::test::to_message(*first) == good);
  CHECK_THROWS_AS(decoder.next(), DecodeError);
}

TEST_CASE("part of a header is no frame and no error", "[frame]") {
  const Bytes frame = encode({.type = FrameType::call, .call_id = 1, .function_id = 2, .payload = pattern(8)});
  for (std::size_t part = 0; part < kFrameHeaderSize; ++part) {
    FrameDecoder decoder(kLimit);
    REQUIRE(decode(decoder, frame.view().first(part)).empty());
    REQUIRE(decoder.pending() == part);
  }
}

TEST_CASE("a large frame is read into a buffer of its own size, which is given back after it", "[frame]") {
  constexpr std::size_t kMax = std::size_t{16} << 20;
  const Message large{.type = FrameType::value, .call_id = 1, .function_id = 0, .payload = pattern(kMax)};
  const Message small{.type = FrameType::value, .call_id = 2, .function_id = 0, .payload = pattern(10)};
  FrameDecoder decoder(kMax);
  CHECK(capacity_of(decoder) <= kReadAhead);

  const Bytes bytes = encode(large);
  REQUIRE(decode(decoder, bytes.view().first(100'000), 4096).empty());
  CHECK(capacity_of(decoder) >= bytes.size());
  CHECK(capacity_of(decoder) <= bytes.size() + kReadAhead);
  CHECK(decode(decoder, bytes.view().subspan(100'000)) == std::vector{large});

  CHECK(capacity_of(decoder) <= kReadAhead);
  CHECK(decode(decoder, encode(small).view()) == std::vector{small});
}

TEST_CASE("the buffer of a middling frame is kept for the next", "[frame]") {
  const Message message{.type = FrameType::value, .call_id = 1, .function_id = 0, .payload = pattern(500'000)};
  const Bytes bytes = encode(message);
  FrameDecoder decoder(kLimit);
  REQUIRE(decode(decoder, bytes.view()) == std::vector{message});
  const std::byte* const place = decoder.space().data();
  for (int round = 0; round < 3; ++round) {
    REQUIRE(decode(decoder, bytes.view()) == std::vector{message});
    REQUIRE(decoder.space().data() == place);
  }
}

TEST_CASE("there is always space for more bytes", "[frame]") {
  FrameDecoder decoder(kLimit);
  const Bytes frame = encode({.type = FrameType::value, .call_id = 1, .function_id = 0, .payload = pattern(300'000)});
  Bytes stream;
  for (int i = 0; i < 3; ++i) stream.append(frame.view());
  std::span<const std::byte> left = stream.view();
  // Nothing is taken out in between: the frames pile up.
  while (!left.empty()) {
    const std::size_t count = feed_once(decoder, left, 10'000);
    REQUIRE(count > 0);
    left = left.subspan(count);
  }
  std::vector<Message> messages;
  leasepool::test::take_all(decoder, messages);
  CHECK(messages.size() == 3);
}

TEST_CASE("a large frame's bytes can be kept without a copy, and what follows it comes as before", "[frame]") {
  const Message large{.type = FrameType::value, .call_id = 1, .function_id = 0, .payload = pattern(300'000)};
  const Message small{.type = FrameType::value, .call_id = 2, .function_id = 0, .payload = pattern(10)};
  for (const bool keeps : {true, false}) {
    FrameDecoder decoder(std::size_t{1} << 20);
    Bytes kept;
    for (int round = 0; round < 3; ++round) {
      for (const Message& message : {large, small}) {
        const Bytes bytes = encode(message);
        std::span<const std::byte> stream = bytes.view();
        while (!stream.empty()) {
          CHECK_FALSE(decoder.next().has_value());
          stream = stream.subspan(feed_once(decoder, stream, SIZE_MAX));
        }
        const auto frame = decoder.next();
        REQUIRE(frame.has_value());
        CHECK(to_message(*frame) == message);
        CHECK((frame->whole != nullptr) == (message.call_id == 1));
        if (!keeps || frame->whole == nullptr) continue;
        const std::byte* const payload = frame->payload.data();
        kept = std::move(*frame->whole);
        CHECK(kept.data() + kFrameHeaderSize == payload);
        CHECK(kept.size() == bytes.size());
      }
      CHECK_FALSE(decoder.next().has_value());
      CHECK(decoder.pending() == 0);
    }
  }
}
