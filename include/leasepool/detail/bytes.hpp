// A growing byte buffer that does not clear what it hands out, and the writer and reader that keep to its bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "leasepool/detail/export.hpp"

namespace leasepool::detail {

// Bytes that were received do not decode to what they should be.
class LEASEPOOL_EXPORT DecodeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct ReleaseBytes {
  bool owned = true;
  void operator()(const std::byte* bytes) const noexcept {
    if (owned) delete[] bytes;
  }
};

// Owned bytes; growing leaves the new part uninitialized, as what follows is always a read or a copy into it.
class Bytes {
 public:
  Bytes() = default;
  // Bytes in memory of somebody else's, which outlives them there; what does not fit moves to memory of their own.
  static Bytes in(std::span<std::byte> memory) {
    Bytes bytes;
    bytes.data_ = Memory(memory.data(), ReleaseBytes{.owned = false});
    bytes.capacity_ = memory.size();
    return bytes;
  }
  Bytes(Bytes&& other) noexcept
      : data_(std::move(other.data_)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Bytes& operator=(Bytes&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  ~Bytes() = default;

  [[nodiscard]] std::byte* data() noexcept { return data_.get(); }
  [[nodiscard]] const std::byte* data() const noexcept { return data_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::span<const std::byte> view() const noexcept { return {data_.get(), size_}; }

  void reserve(std::size_t capacity) {
    if (capacity <= capacity_) return;
    auto grown = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (size_ != 0) std::memcpy(grown.get(), data_.get(), size_);
    data_ = Memory(grown.release(), ReleaseBytes{});
    capacity_ = capacity;
  }
  void resize(std::size_t size) {
    if (size > capacity_) reserve(size > capacity_ * 2 ? size : capacity_ * 2);
    size_ = size;
  }
  void append(const void* from, std::size_t count) {
    if (count == 0) return;
    const std::size_t at = size_;
    resize(size_ + count);
    std::memcpy(data_.get() + at, from, count);
  }
  void append(std::span<const std::byte> bytes) { append(bytes.data(), bytes.size()); }

 private:
  using Memory = std::unique_ptr<std::byte[], ReleaseBytes>;

  Memory data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

// Appends to a buffer up to a limit; past it only counts, so that an error can name the whole size.
class ByteWriter {
 public:
  ByteWriter(Bytes& out, std::size_t limit) : out_(&out), limit_(limit) {}
  void write(const void* from, std::size_t count) {
    written_ += count;
    if (written_ <= limit_) out_->append(from, count);
  }
  [[nodiscard]] std::size_t written() const noexcept { return written_; }
  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
  [[nodiscard]] bool fits() const noexcept { return written_ <= limit_; }

 private:
  Bytes* out_;
  std::size_t limit_;
  std::size_t written_ = 0;
};

// Reads from bytes that somebody else wrote; throws DecodeError instead of leaving them.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : left_(bytes) {}
  void read(void* into, std::size_t count) {
    if (count > left_.size()) {
      throw DecodeError("needs " + std::to_string(count) + " more bytes where " + std::to_string(left_.size()) +
                        " are left");
    }
    if (count != 0) std::memcpy(into, left_.data(), count);
    left_ = left_.subspan(count);
  }
  template <class T>
    requires std::is_arithmetic_v<T>
  void read_number(T& value) {
    if constexpr (std::is_same_v<T, bool>) {  // any byte but 0 and 1 in a bool is undefined behaviour
      unsigned char byte = 0;
      read(&byte, sizeof byte);
      value = byte != 0;
    } else {
      read(&value, sizeof value);
    }
  }
  [[nodiscard]] std::size_t left() const noexcept { return left_.size(); }

  // The next `count` elements where they lie; null where they cannot be read as such there, because too few are left or
  // they are not aligned.
  template <class T>
  [[nodiscard]] const T* peek(std::size_t count) const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(left_.data());
    if (count > left_.size() / sizeof(T) || address % alignof(T) != 0) return nullptr;
    return reinterpret_cast<const T*>(left_.data());
  }
  void skip(std::size_t count) noexcept { left_ = left_.subspan(count); }

 private:
  std::span<const std::byte> left_;
};

}  // namespace leasepool::detail
