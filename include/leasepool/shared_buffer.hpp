// SharedBuffer: memory that the caller and its worker processes see without copying.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "leasepool/detail/export.hpp"
#include "leasepool/fd.hpp"

namespace leasepool {

/// Memory of a fixed size that several processes can have mapped. A handle, like std::shared_ptr: copies are the same
/// memory, which goes when the last of them goes, in whatever process. As an argument or a result of a call it costs
/// the same whatever its size: only the right to map it travels. It is a memfd, sealed so that nobody can shrink it
/// under the others.
///
/// What a call wrote is there when its result is; what the caller wrote before the call is there when the function
/// begins. In between nothing is ordered: let concurrent calls write to different parts. A worker that has it can write
/// to it for as long as it lives: do not believe twice what a function that you do not trust may change.
///
/// Any thread may use a handle as it may a std::shared_ptr.
class LEASEPOOL_EXPORT SharedBuffer {
 public:
  /// Empty: no memory, size() is 0.
  SharedBuffer() noexcept = default;

  /// New memory, all zeros. It is taken from the system page by page as it is touched. Throws std::system_error when
  /// there is no descriptor or address space for it, or files may not be as large (ulimit -f).
  explicit SharedBuffer(std::size_t size);

  /// Maps a memfd that somebody else made: as it is received from a worker. Throws std::invalid_argument unless it is
  /// memory sealed against shrinking, growing and further seals, and std::system_error when it cannot be mapped.
  [[nodiscard]] static SharedBuffer map(Fd memory);

  /// Page-aligned; null when empty.
  [[nodiscard]] std::byte* data() const noexcept { return memory_ ? memory_->data : nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return memory_ ? memory_->size : 0; }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data(), size()}; }

  /// The memory as objects of a type, as many as fit.
  template <class T>
  [[nodiscard]] std::span<T> as() const noexcept {
    static_assert(std::is_trivially_copyable_v<T>, "leasepool: only plain data can be seen by several processes");
    return {reinterpret_cast<T*>(data()), size() / sizeof(T)};
  }

  /// The memfd; empty when this is.
  [[nodiscard]] const Fd& fd() const noexcept;

  /// Whether both are the same memory, as far as this process knows: what went to a worker and came back is not.
  friend bool operator==(const SharedBuffer& left, const SharedBuffer& right) noexcept = default;

 private:
  struct Memory {
    Memory(Fd its_fd, std::size_t its_size);
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory();
    Fd fd;
    std::byte* data = nullptr;
    std::size_t size = 0;
  };
  explicit SharedBuffer(std::shared_ptr<const Memory> memory) noexcept : memory_(std::move(memory)) {}

  std::shared_ptr<const Memory> memory_;
};

}  // namespace leasepool

#endif
