// Tests of the frame decoder with random streams: split anywhere, and damaged in every way, always the same on each
// run.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "catch.hpp"
#include "wire/frame.hpp"
#include "wire/frames.hpp"

using leasepool::detail::Bytes;
using leasepool::detail::DecodeError;
using leasepool::detail::FrameDecoder;
using leasepool::detail::kFrameHeaderSize;
using leasepool::test::encode;
using leasepool::test::feed_once;
using leasepool::test::Message;
using leasepool::test::random_message;
using leasepool::test::take_all;

namespace {

// How sizes of pieces and payloads are drawn: mostly small, sometimes large.
std::size_t random_size(std::mt19937& random, std::size_t largest) {
  return random() % 4 == 0 ? random() % (largest + 1) : random() % 64;
}

}  // namespace

TEST_CASE("a stream split anywhere gives the frames that were put in", "[frame]") {
  std::mt19937 random(31);
  for (int round = 0; round < 300; ++round) {
    std::vector<Message> messages;
    Bytes stream;
    for (auto count = 1 + random() % 20; count > 0; --count) {
      messages.push_back(random_message(random, random_size(random, 300'000)));
      stream.append(encode(messages.back()).view());
    }
    FrameDecoder decoder(300'000);
    std::vector<Message> decoded;
    std::span<const std::byte> left = stream.view();
    while (!left.empty()) {
      left = left.subspan(feed_once(decoder, left, 1 + random_size(random, 100'000)));
      if (random() % 3 != 0) take_all(decoder, decoded);  // sometimes the frames pile up
    }
    take_all(decoder, decoded);
    REQUIRE(decoded.size() == messages.size());
    REQUIRE(std::ranges::equal(decoded, messages));
    REQUIRE(decoder.pending() == 0);
  }
}

TEST_CASE("100,000 damaged streams neither crash the decoder nor make it allocate over its limit", "[frame]") {
  constexpr std::size_t kLimit = 200'000;
  constexpr std::size_t kMaxSpace = kLimit + kFrameHeaderSize + (std::size_t{128} << 10);
  std::mt19937 random(20240229);

  std::vector<Bytes> originals;
  for (int i = 0; i < 64; ++i) {
    Bytes stream;
    for (auto count = 1 + random() % 4; count > 0; --count) {
      stream.append(encode(random_message(random, 200)).view());
    }
    originals.push_back(std::move(stream));
  }

  int refused = 0;
  int decoded = 0;
  for (int round = 0; round < 100'000; ++round) {
    const Bytes& original = originals[random() % originals.size()];
    std::vector<std::byte> damaged(original.view().begin(), original.view().end());
    for (auto changes = 1 + random() % 4; changes > 0; --changes) {
      const std::size_t place = random() % 2 == 0 ? random() % kFrameHeaderSize : random() % damaged.size();
      switch (random() % 4) {
        case 0: damaged[place] = static_cast<std::byte>(random()); break;
        case 1: damaged[place] ^= static_cast<std::byte>(1U << (random() % 8)); break;
        case 2: damaged.resize(std::max<std::size_t>(damaged.size() - random() % damaged.size(), 1)); break;
        default: {
          const std::vector<std::byte> piece(damaged.begin() + static_cast<std::ptrdiff_t>(random() % damaged.size()),
                                             damaged.end());
          damaged.insert(damaged.end(), piece.begin(), piece.end());
        }
      }
      if (damaged.size() <= kFrameHeaderSize) break;  // every place above lies inside
    }
    FrameDecoder decoder(kLimit);
    std::vector<Message> messages;
    std::span<const std::byte> left(damaged);
    try {
      while (!left.empty()) {
        const std::size_t capacity = decoder.space().size() + decoder.pending();
        REQUIRE(capacity <= kMaxSpace);
        left = left.subspan(feed_once(decoder, left, 1 + random_size(random, 1000)));
        take_all(decoder, messages);
      }
      REQUIRE(decoder.pending() <= damaged.size());
    } catch (const DecodeError&) {
      ++refused;
    }
    decoded += static_cast<int>(messages.size());
    for (const Message& message : messages) REQUIRE(message.payload.size() <= damaged.size());
  }
  CHECK(refused > 10'000);  // else the damage above does not reach what the decoder checks
  CHECK(decoded > 10'000);
}

TEST_CASE("random bytes are refused by their first header", "[frame]") {
  std::mt19937 random(77);
  for (int round = 0; round < 1000; ++round) {
    FrameDecoder decoder(1000);
    const std::vector<std::byte> noise =
        leasepool::test::pattern(kFrameHeaderSize, static_cast<std::uint32_t>(random()));
    REQUIRE(feed_once(decoder, noise, SIZE_MAX) == noise.size());
    REQUIRE_THROWS_AS(decoder.next(), DecodeError);
  }
}
