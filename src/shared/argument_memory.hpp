// ArgumentMemory: where the encoded arguments of a large call cross to a worker process: memory that both map, which
// the parent encodes into and the worker decodes from, one call's at a time. It is kept from one call to the next, as
// to get a new page from the system costs several times what copying one does.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.hpp"
#include "leasepool/detail/bytes.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail {

// One thread of either process.
class ArgumentMemory {
 public:
  // Arguments that take more than that are large.
  static constexpr std::size_t kLarge = std::size_t{32} << 10;
  // The most that it is made for: larger ones go through the socket.
  static constexpr std::size_t kMax = std::size_t{1} << 30;

  // How long either process keeps it for the next call.
  static constexpr Duration kKeptFor = std::chrono::seconds(1);

  // How much of it a file is to have for calls of so many bytes: none where they are not large.
  [[nodiscard]] static std::size_t room_for(std::uint64_t max_payload) noexcept;

  ArgumentMemory() = default;
  // To write to, in memory that is mapped for longer.
  explicit ArgumentMemory(std::span<std::byte> mapped) noexcept : memory_(mapped.data()), size_(mapped.size()) {}
  // To read: maps so much of a file. Without memory where that fails.
  ArgumentMemory(int file, std::size_t offset, std::size_t size) noexcept;
  ArgumentMemory(ArgumentMemory&& other) noexcept;
  ArgumentMemory& operator=(ArgumentMemory&& other) noexcept;
  ArgumentMemory(const ArgumentMemory&) = delete;
  ArgumentMemory& operator=(const ArgumentMemory&) = delete;
  ~ArgumentMemory();

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<const std::byte> first(std::size_t count) const noexcept {
    check(count <= size_, "no more arguments are read than there is memory for");
    return {memory_, count};
  }

  // Bytes that grow in it, up to its size; empty. Who wrote them says how many they became.
  [[nodiscard]] Bytes bytes() noexcept { return Bytes::in({memory_, size_}); }
  void wrote(std::size_t count) noexcept;

  // Gives a part of its pages back to the system, both processes' at once, as all of them would take long. False when
  // none is left.
  bool give_some_back() noexcept;

 private:
  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
  bool is_own_ = false;      // to be unmapped
  std::size_t touched_ = 0;  // the bytes up to there may have pages
};

}  // namespace leasepool::detail
