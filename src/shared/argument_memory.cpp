// A mapping, and its pages given back.
#include "shared/argument_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

namespace leasepool::detail {

std::size_t ArgumentMemory::room_for(std::uint64_t max_payload) noexcept {
  return max_payload <= kLarge ? 0 : static_cast<std::size_t>(std::min<std::uint64_t>(max_payload, kMax));
}

ArgumentMemory::ArgumentMemory(int file, std::size_t offset, std::size_t size) noexcept {
  if (size == 0) return;
  void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, static_cast<off_t>(offset));
  if (memory == MAP_FAILED) return;
  is_own_ = true;
  memory_ = static_cast<std::byte*>(memory);
  size_ = size;
}

ArgumentMemory::ArgumentMemory(ArgumentMemory&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      is_own_(std::exchange(other.is_own_, false)),
      touched_(std::exchange(other.touched_, 0)) {}

ArgumentMemory& ArgumentMemory::operator=(ArgumentMemory&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(size_, other.size_);
  std::swap(is_own_, other.is_own_);
  std::swap(touched_, other.touched_);
  return *this;
}

ArgumentMemory::~ArgumentMemory() {
  if (is_own_) ::munmap(memory_, size_);
}

void ArgumentMemory::wrote(std::size_t count) noexcept {
  check(count <= size_, "no more arguments are written than there is memory for");
  touched_ = std::max(touched_, count);
}

bool ArgumentMemory::give_some_back() noexcept {
  constexpr std::size_t kAtOnce = std::size_t{4} << 20;  // less than a millisecond's work
  const std::size_t from = touched_ <= kAtOnce ? 0 : (touched_ - 1) / kAtOnce * kAtOnce;
  if (touched_ != 0) ::madvise(memory_ + from, std::min(kAtOnce, size_ - from), MADV_REMOVE);
  touched_ = from;
  return touched_ != 0;
}

}  // namespace leasepool::detail
