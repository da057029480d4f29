// Descriptors that travel beside the bytes of a call: numbered where they are encoded, taken by number where they are
// decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/fd.hpp"

namespace leasepool::detail {

using Descriptors = std::vector<Fd>;

// The most that the kernel passes with one message: its SCM_MAX_FD, which no header has.
inline constexpr std::size_t kMaxDescriptors = 253;

// Stands for an empty Fd.
inline constexpr std::uint32_t kNoDescriptor = UINT32_MAX;

// Collects duplicates, as the originals may go before these are sent; past the most only counts, so that an error can
// name their number.
class DescriptorWriter {
 public:
  // The number of the descriptor among those of this writer. Throws std::system_error.
  std::uint32_t add(const Fd& fd) {
    if (!fd) return kNoDescriptor;
    if (written_ < kMaxDescriptors) descriptors_.push_back(fd.duplicate());
    return static_cast<std::uint32_t>(written_++);
  }
  [[nodiscard]] std::size_t written() const noexcept { return written_; }
  [[nodiscard]] bool fits() const noexcept { return written_ <= kMaxDescriptors; }
  [[nodiscard]] Descriptors take() noexcept { return std::exchange(descriptors_, {}); }

 private:
  Descriptors descriptors_;
  std::size_t written_ = 0;
};

// Hands out descriptors by numbers that somebody else wrote, each once; throws DecodeError for any other.
class DescriptorReader {
 public:
  explicit DescriptorReader(std::span<Fd> descriptors) : descriptors_(descriptors), left_(descriptors.size()) {}
  Fd take(std::uint32_t number) {
    if (number == kNoDescriptor) return {};
    if (number >= descriptors_.size() || !descriptors_[number]) {
      throw DecodeError("descriptor " + std::to_string(number) + " of " + std::to_string(descriptors_.size()) +
                        " is not there, or was taken before");
    }
    --left_;
    return std::move(descriptors_[number]);
  }
  [[nodiscard]] std::size_t left() const noexcept { return left_; }

 private:
  std::span<Fd> descriptors_;
  std::size_t left_;
};

}  // namespace leasepool::detail
