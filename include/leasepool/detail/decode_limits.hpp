// DecodeLimits: what decoding bytes of another process may take, and the ways in which it then ends.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>

#include "leasepool/detail/export.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail {

struct DecodeLimits {
  std::size_t most_bytes = SIZE_MAX;  // that the value may have beyond itself: elements, text, what its pointers own
  std::size_t most_stack = SIZE_MAX;
  Duration most_time = Duration::max();
  const std::atomic<bool>* abandoned = nullptr;  // once true, nobody waits for the value
};

// More than most_bytes. Needs no memory.
class LEASEPOOL_EXPORT DecodedTooLarge : public std::exception {
 public:
  explicit DecodedTooLarge(std::size_t limit) noexcept : most_(limit) {}
  [[nodiscard]] std::size_t most() const noexcept { return most_; }
  [[nodiscard]] const char* what() const noexcept override { return "the value is too large"; }

 private:
  std::size_t most_;
};

// Takes longer than most_time.
class LEASEPOOL_EXPORT DecodingTimedOut : public std::exception {
 public:
  explicit DecodingTimedOut(Duration most) noexcept : most_(most) {}
  [[nodiscard]] Duration most() const noexcept { return most_; }
  [[nodiscard]] const char* what() const noexcept override { return "decoding takes too long"; }

 private:
  Duration most_;
};

class LEASEPOOL_EXPORT DecodingAbandoned : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "nobody waits for the value"; }
};

// Ends a decoding that takes too long, or that nobody waits for: bytes can be made whose decoding takes hours, as keys
// that all fall into one bucket of a std::unordered_map.
class LEASEPOOL_EXPORT DecodingPatience {
 public:
  explicit DecodingPatience(const DecodeLimits& limits) noexcept
      : abandoned_(limits.abandoned), most_time_(limits.most_time) {}

  // Before each value. The clock is looked at now and then; what is small is not timed.
  void check() {
    if (abandoned_ != nullptr && abandoned_->load(std::memory_order_relaxed)) throw DecodingAbandoned();
    if (--values_until_look_ == 0) check_deadline();
  }

 private:
  static constexpr int kValuesPerLook = 64;
  void check_deadline();

  const std::atomic<bool>* abandoned_;
  Duration most_time_;
  TimePoint begun_;  // at the first look
  bool has_begun_ = false;
  int values_until_look_ = kValuesPerLook;
};

}  // namespace leasepool::detail
