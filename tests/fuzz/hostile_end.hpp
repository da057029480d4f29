// HostileEnd: the other end of a channel, which an input drives: what an honest worker does, and what none does.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/unique_fd.hpp"
#include "fuzz/input.hpp"
#include "fuzz/shared_loop.hpp"
#include "leasepool/detail/bytes.hpp"
#include "wire/byte_ring.hpp"
#include "wire/frame.hpp"
#include "wire/message.hpp"

namespace leasepool::fuzz {

// `calls` and `outcomes` are the rings to read and to write; null where there is no shared memory.
struct HostileEnd {
  static constexpr std::uint8_t kDeeds = 9;
  static constexpr std::size_t kMaxSentDescriptors = 3;

  detail::UniqueFd socket;
  detail::ByteRing* calls = nullptr;
  detail::ByteRing* outcomes = nullptr;
  bool has_greeted = false;  // the first frame goes through the socket, and is not announced
  bool is_honest = true;
  std::string said;  // the ids of its frames, a byte each

  // Deeds 0 to 2 are those of an honest worker.
  void act(std::uint8_t deed, Input& input) {
    is_honest = is_honest && deed <= 2;
    switch (deed % kDeeds) {
      case 0: return read_calls();
      case 1: return say(frame_of(input), false);
      case 2: return say(frame_of(input), true);
      case 3: return send(input.piece());
      case 4: return void(outcomes == nullptr || (write(input.piece()), true));
      case 5: return tell(outcomes == nullptr ? nullptr : &outcomes->written, input);
      case 6: return tell(calls == nullptr ? nullptr : &calls->read, input);
      case 7: {
        if (calls != nullptr) calls->reader_sleeps = input.number<std::uint8_t>();
        return send(detail::empty_frame(detail::FrameType::wake));
      }
      default: return send_descriptors(input);
    }
  }

  detail::Bytes frame_of(Input& input) {
    const auto type = static_cast<detail::FrameType>(1 + input.number<std::uint8_t>() % 10);
    const auto id = input.number<std::uint8_t>();
    const std::size_t descriptors = input.number<std::uint8_t>() == 0xff ? 1 : 0;
    detail::Bytes frame = detail::begin_frame();
    frame.append(input.piece());
    detail::finish_frame(frame, type, id, 1000, descriptors);
    is_honest = is_honest && type != detail::FrameType::via_socket && type != detail::FrameType::wake;
    said += static_cast<char>(id);
    return frame;
  }

  // The way that frames go, or with an announcement through the socket.
  void say(const detail::Bytes& frame, bool via_socket) {
    const bool shares_memory = outcomes != nullptr && std::exchange(has_greeted, true);
    if (shares_memory && !via_socket) return write(frame.view());
    if (shares_memory) write(detail::empty_frame(detail::FrameType::via_socket));
    send(frame.view());
  }

  void send(std::span<const std::byte> bytes) {
    const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    is_honest = is_honest && sent == static_cast<ssize_t>(bytes.size());
  }
  void write(std::span<const std::byte> bytes) {
    const std::uint64_t used = outcomes->written - outcomes->read;
    is_honest = is_honest && used + bytes.size() <= detail::ByteRing::kSize;
    for (const std::byte byte : bytes) outcomes->bytes[outcomes->written++ % detail::ByteRing::kSize] = byte;
    if (outcomes->reader_sleeps.exchange(0) != 0) send(detail::empty_frame(detail::FrameType::wake));
  }
  void read_calls() {
    if (calls != nullptr) calls->read = calls->written.load();
    std::array<std::byte, 4096> read;
    while (::recv(socket.get(), read.data(), read.size(), MSG_DONTWAIT) > 0) {
    }
  }
  static void tell(std::atomic<std::uint64_t>* position, Input& input) {
    const auto by = input.number<std::int64_t>();
    if (position != nullptr) *position += static_cast<std::uint64_t>(by);
  }
  void send_descriptors(Input& input) {
    const auto count = std::min<std::size_t>(input.number<std::uint8_t>(), kMaxSentDescriptors);
    detail::Descriptors descriptors;
    for (std::size_t i = 0; i < count; ++i) descriptors.emplace_back(Fd(::dup(STDIN_FILENO)));
    detail::Message message;
    const auto bytes = input.piece();
    if (!bytes.empty()) {
      (void)::sendmsg(socket.get(), message.to_send(bytes, descriptors), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }
};

}  // namespace leasepool::fuzz
