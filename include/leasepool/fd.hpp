// Fd: an open file descriptor with one owner, which can also be an argument or a result of a call.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <utility>

#include "leasepool/detail/export.hpp"

namespace leasepool {

/// Owns a file descriptor: closes it when destroyed. Move-only; a moved-from Fd is empty. As an argument or a result of
/// a call it is moved on threads; for a worker process it is passed over the worker's socket, so that both processes
/// have the same open file (offset and flags included), each under a number of its own that is close-on-exec. The
/// caller's copy of an argument is closed when the call has ended, however it ended. One thread at a time.
class LEASEPOOL_EXPORT Fd {
 public:
  /// Empty: get() is -1.
  Fd() noexcept = default;

  /// Takes over an open descriptor; -1, or what a failed open() returned, makes it empty.
  explicit Fd(int descriptor) noexcept : descriptor_(descriptor) {}

  Fd(Fd&& other) noexcept : descriptor_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      descriptor_ = other.release();
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const noexcept { return descriptor_; }
  [[nodiscard]] explicit operator bool() const noexcept { return descriptor_ >= 0; }

  /// Gives the descriptor up without closing it.
  [[nodiscard]] int release() noexcept { return std::exchange(descriptor_, -1); }

  /// Closes it now.
  void reset() noexcept;

  /// Another descriptor of the same open file, close-on-exec: to give one away and keep one. Of an empty Fd an empty
  /// one. Throws std::system_error.
  [[nodiscard]] Fd duplicate() const;

 private:
  int descriptor_ = -1;
};

}  // namespace leasepool

#endif
