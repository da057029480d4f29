// What the tests of the wire share: frames as values, and feeding a decoder.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "leasepool/detail/bytes.hpp"
#include "wire/frame.hpp"

namespace leasepool::test {

// A frame that owns its payload, to compare.
struct Message {
  detail::FrameType type = detail::FrameType::hello;
  std::uint64_t call_id = 0;
  std::uint64_t function_id = 0;
  std::vector<std::byte> payload;

  bool operator==(const Message&) const = default;
};

inline Message to_message(const detail::Frame& frame) {
  return {.type = frame.type,
          .call_id = frame.call_id,
          .function_id = frame.function_id,
          .payload = {frame.payload.begin(), frame.payload.end()}};
}

inline detail::Bytes encode(const Message& message) {
  detail::Bytes frame = detail::begin_frame();
  frame.append(message.payload);
  detail::finish_frame(frame, message.type, message.call_id, message.function_id);
  return frame;
}

// Bytes that tell their place, so that a shifted payload shows.
inline std::vector<std::byte> pattern(std::size_t size, std::uint32_t seed = 1) {
  std::vector<std::byte> bytes(size);
  std::uint32_t state = seed * 2654435761U + 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

inline Message random_message(std::mt19937& random, std::size_t largest) {
  return {.type = static_cast<detail::FrameType>(1 + random() % 8),
          .call_id = (std::uint64_t{random()} << 32) | random(),
          .function_id = (std::uint64_t{random()} << 32) | random(),
          .payload = pattern(random() % (largest + 1), static_cast<std::uint32_t>(random()))};
}

// Takes every frame that is complete. Throws DecodeError as the decoder does.
inline void take_all(detail::FrameDecoder& decoder, std::vector<Message>& into) {
  while (const auto frame = decoder.next()) into.push_back(to_message(*frame));
}

// Gives the decoder as much of the stream as it has space for, at most `most`; returns how much that was.
inline std::size_t feed_once(detail::FrameDecoder& decoder, std::span<const std::byte> stream, std::size_t most) {
  const std::span<std::byte> space = decoder.space();
  const std::size_t count = std::min({space.size(), stream.size(), most});
  if (count != 0) std::memcpy(space.data(), stream.data(), count);
  decoder.filled(count);
  return count;
}

// Feeds the whole stream in pieces of at most `most` bytes, taking frames after each.
inline std::vector<Message> decode(detail::FrameDecoder& decoder, std::span<const std::byte> stream,
                                   std::size_t most = SIZE_MAX) {
  std::vector<Message> messages;
  take_all(decoder, messages);
  while (!stream.empty()) {
    stream = stream.subspan(feed_once(decoder, stream, most));
    take_all(decoder, messages);
  }
  return messages;
}

}  // namespace leasepool::test
