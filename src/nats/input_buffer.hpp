// InputBuffer: bytes that were received and not yet taken, in one piece. It grows with the bytes that are there, never
// by a length that somebody announced.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "base/check.hpp"

namespace leasepool::detail::nats {

class InputBuffer {
 public:
  // Where more goes; not empty. It moves what is there. Throws std::bad_alloc.
  [[nodiscard]] std::span<char> room() {
    if (begin_ == end_) begin_ = end_ = 0;
    if (capacity_ == 0 || (end_ == 0 && capacity_ > kKept)) {
      move_to(kSmallest);
    } else if (capacity_ - end_ < kLeastRoom) {
      move_to(end_ - begin_ > capacity_ / 2 ? 2 * capacity_ : capacity_);
    }
    return {memory_.get() + end_, capacity_ - end_};
  }
  void filled(std::size_t count) noexcept {
    check(count <= capacity_ - end_, "what was received had room");
    end_ += count;
  }
  [[nodiscard]] std::string_view bytes() const noexcept { return {memory_.get() + begin_, end_ - begin_}; }
  void take(std::size_t count) noexcept {
    check(count <= end_ - begin_, "only what was received is taken");
    begin_ += count;
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

 private:
  static constexpr std::size_t kSmallest = std::size_t{64} << 10;
  static constexpr std::size_t kLeastRoom = std::size_t{16} << 10;
  static constexpr std::size_t kKept = std::size_t{1} << 20;  // a larger one goes when it is empty

  void move_to(std::size_t capacity) {
    const std::string_view left = bytes();
    if (capacity == capacity_) {
      std::memmove(memory_.get(), left.data(), left.size());
    } else {
      auto memory = std::make_unique_for_overwrite<char[]>(capacity);
      if (!left.empty()) std::memcpy(memory.get(), left.data(), left.size());
      memory_ = std::move(memory);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = left.size();
  }

  std::unique_ptr<char[]> memory_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace leasepool::detail::nats
