// Input: a target's bytes, taken apart into numbers and pieces. Where it has ended there are zeros, and pieces are
// empty.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "leasepool/detail/bytes.hpp"

namespace leasepool::fuzz {

class Input {
 public:
  explicit Input(std::span<const std::byte> bytes) noexcept : left_(bytes) {}

  [[nodiscard]] bool empty() const noexcept { return left_.empty(); }
  template <class T>
  [[nodiscard]] T number() noexcept {
    T number{};
    const auto bytes = take(sizeof number);
    if (!bytes.empty()) std::memcpy(&number, bytes.data(), bytes.size());
    return number;
  }
  // Of at most so many bytes.
  [[nodiscard]] std::span<const std::byte> take(std::size_t count) noexcept {
    const auto taken = left_.first(std::min(count, left_.size()));
    left_ = left_.subspan(taken.size());
    return taken;
  }
  // Of as many bytes as the two before it say.
  [[nodiscard]] std::span<const std::byte> piece() noexcept { return take(number<std::uint16_t>()); }
  [[nodiscard]] std::span<const std::byte> rest() noexcept { return take(left_.size()); }

 private:
  std::span<const std::byte> left_;
};

[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
[[nodiscard]] inline std::span<const std::byte> as_bytes(std::string_view text) noexcept {
  return std::as_bytes(std::span(text));
}

// The other way round, for seeds.
template <class T>
void put_number(detail::Bytes& out, T number) {
  out.append(&number, sizeof number);
}
inline void put_piece(detail::Bytes& out, std::span<const std::byte> piece) {
  put_number(out, static_cast<std::uint16_t>(piece.size()));
  out.append(piece);
}

}  // namespace leasepool::fuzz
