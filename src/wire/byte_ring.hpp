// ByteRing: a stream of bytes from one process to another through memory that both see, without a system call. Pure.
// Each end keeps its own position to itself and only tells it, and checks what the other end tells: whoever lies can
// read and write nothing but the ring's bytes, and is found out.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "leasepool/detail/bytes.hpp"

namespace leasepool::detail {

// In shared memory; zeros are an empty ring. Positions only grow.
struct ByteRing {
  static constexpr std::size_t kSize = std::size_t{64} << 10;
  static constexpr std::size_t kCacheLine = 64;

  alignas(kCacheLine) std::atomic<std::uint64_t> written;
  alignas(kCacheLine) std::atomic<std::uint64_t> read;
  // Set by the reader before it sleeps; whoever writes clears it, and then wakes the reader. Each end first does its
  // own step and then looks at the other's, all of them seq_cst, so that one of the two sees the other.
  alignas(kCacheLine) std::atomic<std::uint32_t> reader_sleeps;
  alignas(kCacheLine) std::array<std::byte, kSize> bytes;
};

// One thread of the process that writes.
class ByteRingWriter {
 public:
  explicit ByteRingWriter(ByteRing* ring = nullptr) noexcept : ring_(ring) {}

  // How many bytes can be written at least; exactly how many, where it is not known yet that `wanted` can be. The
  // reader's position is in memory that it writes to all the time, and is not looked at for more. Throws DecodeError
  // when it says that it has read what was not written.
  [[nodiscard]] std::size_t room(std::size_t wanted = ByteRing::kSize);

  // At most as many bytes as room() said; the reader sees them at the next publish().
  void write(std::span<const std::byte> bytes) noexcept;
  void publish() noexcept { ring_->written.store(written_); }

  // Whether the reader says that it sleeps.
  [[nodiscard]] bool reader_sleeps() const noexcept {
    return ring_->reader_sleeps.load(std::memory_order_relaxed) != 0;
  }

  // Whether the reader slept, and has to be woken by whoever asks, once.
  [[nodiscard]] bool must_wake() noexcept {
    return ring_->reader_sleeps.load() != 0 && ring_->reader_sleeps.exchange(0) != 0;
  }

 private:
  ByteRing* ring_;
  std::uint64_t written_ = 0;
  std::size_t known_room_ = ByteRing::kSize;  // there is this, and may be more by now
};

// One thread of the process that reads.
class ByteRingReader {
 public:
  explicit ByteRingReader(ByteRing* ring = nullptr) noexcept : ring_(ring) {}

  // Whether there are bytes that were not read. Who looks again and again has the first of them loaded together with
  // what says so, and not after it.
  [[nodiscard]] bool ready() const noexcept {
    const std::byte* const next = ring_->bytes.data() + read_ % ByteRing::kSize;
    __builtin_prefetch(next);
    __builtin_prefetch(next + ByteRing::kCacheLine - 1);
    return ring_->written.load(std::memory_order_acquire) != read_;
  }

  // Notes how much there is by now. Throws DecodeError when the writer says that it has written what cannot be there.
  void refresh();
  // Copies of what refresh() saw; returns how many bytes that were, none if there are no more.
  std::size_t read(std::span<std::byte> into) noexcept;

  // False if there is something to read now, and then the reader does not sleep.
  [[nodiscard]] bool prepare_park() noexcept {
    ring_->reader_sleeps.store(1);
    if (ring_->written.load() == read_) return true;
    cancel_park();
    return false;
  }
  void cancel_park() noexcept { ring_->reader_sleeps.store(0, std::memory_order_relaxed); }

 private:
  ByteRing* ring_;
  std::uint64_t read_ = 0;
  std::uint64_t seen_ = 0;
};

}  // namespace leasepool::detail
