// WorkerChannel: a worker's end of its channel, where calls come from and their outcomes go: through memory that it
// shares with its parent, and through its socket, as SharedChannel says.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/adaptive_spin.hpp"
#include "base/unique_fd.hpp"
#include "shared/argument_memory.hpp"
#include "shared/status_page.hpp"
#include "shared/worker_settings.hpp"
#include "wire/byte_ring.hpp"
#include "wire/frame.hpp"
#include "wire/message.hpp"

namespace leasepool::detail {

// What a worker exits with when its channel cannot be used any more: EX_SOFTWARE of sysexits.h.
inline constexpr int kChannelBroken = 70;
// And when it could not say hello, and has said why: EX_OSERR.
inline constexpr int kNotStarted = 71;

// Sends all through a socket, however often the kernel has no room for it. 0 or the errno for which it cannot.
int send_whole(int socket, std::span<const std::byte> left) noexcept;

// The worker's main thread. What cannot go on ends the process.
class WorkerChannel {
 public:
  struct Reply {
    Bytes frame;
    Descriptors descriptors;
  };

  // The page outlives it; its file is where the arguments of large calls are.
  WorkerChannel(UniqueFd socket, StatusPage& status, UniqueFd status_file, const WorkerSettings& settings);

  // Takes the memory that it needs for calls that are not large. Throws std::bad_alloc.
  void reserve();

  // The errno for which nothing could be received, or 0. To be asked where it can still be told.
  [[nodiscard]] int try_to_receive() noexcept;

  // Waits for the next call; none when the parent has closed the channel. It is valid until the next one is asked for.
  // Its claim comes from the parent's processor too, and is asked for together with it.
  std::optional<Frame> next_call(const std::atomic<std::uint64_t>& claim);

  // Waits for the frame that comes before the first call, and before anything was sent. From the parent alone, and so
  // of any size. False when the parent has closed the channel.
  bool first_frame(const std::function<void(const Frame&)>& use);

  // Of a result whose descriptors the kernel refuses, that becomes the reply.
  void reply(const Frame& call, Reply& reply);

  // Through the socket.
  void send(std::span<const std::byte> whole) const;

 private:
  [[nodiscard]] bool shares_memory() const noexcept { return status_.calls() != nullptr; }
  std::optional<Frame> next_frame();
  [[nodiscard]] std::uint64_t pending_call_id() const noexcept;
  std::optional<Frame> next_from_socket();
  void find_arguments(Frame& call);
  void keep_memory_for(std::size_t size);
  void release_memory();
  [[nodiscard]] bool something_comes_soon() const;
  [[noreturn]] void end_for_want_of_memory(std::uint64_t call_id);
  [[noreturn]] void end_without_channel(int error) const;
  bool decode_from_socket();
  bool take_from_ring();
  bool wait_for_ring();
  bool write_to_ring(const Reply& reply);
  bool receive();
  [[nodiscard]] int send(const Reply& reply);

  UniqueFd socket_;
  StatusPage& status_;
  UniqueFd status_file_;
  const bool keeps_memory_;
  FrameDecoder decoder_;  // of what comes through the socket
  Message message_;       // in or out: one at a time
  ByteRingReader calls_;
  ByteRingWriter outcomes_;
  FrameDecoder ring_decoder_;
  AdaptiveSpin spin_;
  bool has_waited_ = false;     // for a call, the first of which may be long in coming
  std::optional<Frame> early_;  // came through the socket before the ring announced it
  bool via_socket_ = false;     // the next call comes through the socket
  const std::atomic<std::uint64_t>* next_claim_ = nullptr;
  ArgumentMemory arguments_;
};

}  // namespace leasepool::detail
