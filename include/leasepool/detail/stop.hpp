// What calls have of std::stop_token, whose header a program includes that uses it: it costs a small one 3,000 lines.
#pragma once

#include <cstddef>
#include <utility>

#include "leasepool/detail/export.hpp"
#include "leasepool/detail/std_types.hpp"

namespace leasepool::detail {

// A caller's token, kept for its calls; empty for one that never stops. One thread at a time. It holds the token in
// itself, as that is no larger than a pointer.
class LEASEPOOL_EXPORT CallerStop {
 public:
  CallerStop() noexcept = default;
  explicit CallerStop(const std::stop_token& token) noexcept;
  CallerStop(const CallerStop& other) noexcept {
    if (other.is_set_) copy(other);
  }
  CallerStop(CallerStop&& other) noexcept : token_(other.token_), is_set_(std::exchange(other.is_set_, false)) {}
  CallerStop& operator=(CallerStop other) noexcept {
    std::swap(token_, other.token_);
    std::swap(is_set_, other.is_set_);
    return *this;
  }
  ~CallerStop() {
    if (is_set_) destroy();
  }

  // Null where it is empty.
  [[nodiscard]] const std::stop_token* get() const noexcept;

 private:
  void copy(const CallerStop& other) noexcept;
  void destroy() noexcept;

  struct Storage {
    alignas(void*) std::byte bytes[sizeof(void*)];
  };
  Storage token_{};
  bool is_set_ = false;
};

// Asks a running function to end early. Any thread, but for making and destroying it. Empty until it is assigned to.
class LEASEPOOL_EXPORT FunctionStop {
 public:
  FunctionStop() noexcept = default;
  FunctionStop(const FunctionStop&) = delete;
  FunctionStop& operator=(const FunctionStop&) = delete;
  ~FunctionStop() {
    if (source_ != nullptr) release();
  }

  // Throws std::bad_alloc.
  FunctionStop& operator=(const std::stop_source& source);
  void request_stop() const noexcept;
  [[nodiscard]] std::stop_token token() const noexcept;

 private:
  void release() noexcept;
  std::stop_source* source_ = nullptr;
};

}  // namespace leasepool::detail
