// StatusPage: memory that a worker and its parent share, where the worker notes which call it begins and
// ends, and behind that the rings of their frames, if they have any; with them the file has room for ArgumentMemory. It
// outlives the worker, so the parent knows what had begun. Sealed: the worker cannot shrink it under the parent. What
// stands in it is the worker's word, used only to choose between "not begun" and "may have run", and to say more of an
// end.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/check.hpp"
#include "base/unique_fd.hpp"
#include "shared/stack_note.hpp"
#include "wire/byte_ring.hpp"

namespace leasepool::detail {

struct WorkerStatus {
  std::atomic<std::uint64_t> begun;            // id of the last call whose frame was taken up
  std::atomic<std::uint64_t> ended;            // id of the last call whose outcome was complete
  std::atomic<std::uint64_t> out_of_memory;    // id of the last call that asked for more memory than there was, or
                                               // kBetweenCalls
  std::atomic<std::uint64_t> resident_memory;  // bytes, as of the last call's end
  StackNote stack;
  std::atomic<std::uint32_t> lost_channel;   // it found its channel closed, and not by its parent
  std::atomic<std::int32_t> channel_error;   // the errno for which it could not use its channel any more
  std::atomic<std::uint64_t> dropped_lines;  // of leasepool::log(), for which there was no room
  std::atomic<std::uint64_t> blocked_call;   // the system call for which the sandbox ended it, see blocked_call.hpp
  std::atomic<std::uint32_t> seccomp;        // whether the sandbox's filter is in force, when it says hello
  std::atomic<std::uint32_t> landlock_abi;   // the same of Landlock; 0: not in force

  // No call's id: the worker itself lacked memory to take up the next call, and ended.
  static constexpr std::uint64_t kBetweenCalls = UINT64_MAX - 1;

  // The ids of calls that were sent and not begun: the n-th call's is in claims[n % kClaims] until the worker clears it
  // to begin it, or the parent to take it back, whoever is first.
  static constexpr std::size_t kClaims = 256;
  std::array<std::atomic<std::uint64_t>, kClaims> claims;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "shared between processes");

// What the two share.
struct WorkerMemory {
  alignas(4096) WorkerStatus status;
  alignas(4096) ByteRing calls;
  alignas(4096) ByteRing outcomes;
};

class StatusPage {
 public:
  // A multiple of all sizes that pages have.
  static constexpr std::size_t kArgumentsOffset = (sizeof(WorkerMemory) + 0xffff) / 0x10000 * 0x10000;

  StatusPage() = default;
  StatusPage(StatusPage&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  StatusPage& operator=(StatusPage&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(size_, other.size_);
    return *this;
  }
  StatusPage(const StatusPage&) = delete;
  StatusPage& operator=(const StatusPage&) = delete;
  ~StatusPage();

  // A new page, and a descriptor to map it elsewhere. With rings, the file has so many bytes more, from
  // kArgumentsOffset on, which take no memory before they are written. Without these, or without rings, where this
  // process may not have a file as large. Throws std::system_error.
  static std::pair<StatusPage, UniqueFd> create(bool with_rings, std::size_t argument_bytes = 0);

  // The page behind a descriptor, without arguments. Throws std::system_error.
  static StatusPage map(int fd);

  WorkerStatus* operator->() const noexcept {
    check(memory_ != nullptr, "a status page is mapped before it is used");
    return &memory_->status;
  }

  // Null without rings.
  [[nodiscard]] ByteRing* calls() const noexcept { return has_rings() ? &memory_->calls : nullptr; }
  [[nodiscard]] ByteRing* outcomes() const noexcept { return has_rings() ? &memory_->outcomes : nullptr; }

  // Of one that was created: what its file has from kArgumentsOffset on. Nothing where this process had no room for it.
  [[nodiscard]] std::span<std::byte> arguments() const noexcept {
    if (size_ <= kArgumentsOffset) return {};
    return {reinterpret_cast<std::byte*>(memory_) + kArgumentsOffset, size_ - kArgumentsOffset};
  }

 private:
  StatusPage(WorkerMemory* memory, std::size_t size) noexcept : memory_(memory), size_(size) {}
  enum class Arguments { are_mapped, are_left_out };
  static StatusPage map(int fd, std::size_t file_size, Arguments arguments);
  [[nodiscard]] bool has_rings() const noexcept { return size_ >= sizeof(WorkerMemory); }
  WorkerMemory* memory_ = nullptr;
  std::size_t size_ = 0;  // that is mapped
};

}  // namespace leasepool::detail
