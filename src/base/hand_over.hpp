// HandOver: the place where a thread that looks for work is handed one element at a time, and where whoever handed it
// over sees that it is done with. Both look at the same cache line, so each way costs what it takes that line to
// arrive: delegation, as in ffwd (https://doi.org/10.1145/3132747.3132771).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

// One giver and one taker. The word's values, and who changes them:
//
//   | value             | the taker                        | changed by                                             |
//   | closed            | does not look here               | taker: open()                                          |
//   | open              | looks here before it sleeps      | giver: hand(); taker: close()                          |
//   | element           | has it, or is about to take it   | taker: finish() to open; giver: leave()                |
//   | element, and left | the same                         | taker: finish() to open, and hands the element back    |
//
// An element that was handed is never taken back: the taker is awake and looks. Until it is left, it stays the giver's,
// and the taker uses it until it is done. tests/models/hand_over.pml checks the protocol.
template <class T>
class HandOver {
  static_assert(alignof(T) >= 4, "an element's address leaves two bits free");

 public:
  HandOver() = default;
  HandOver(const HandOver&) = delete;
  HandOver& operator=(const HandOver&) = delete;

  // The giver: false if the taker does not look, or has not finished what it was handed before.
  [[nodiscard]] bool hand(T& element) noexcept {
    std::uintptr_t expected = kOpen;
    return word_.load(std::memory_order_relaxed) == kOpen &&
           word_.compare_exchange_strong(expected, reinterpret_cast<std::uintptr_t>(&element));
  }
  // The giver: whether the taker has finished the element that it was handed last. What it wrote is then seen.
  [[nodiscard]] bool finished(const T& element) const noexcept {
    return (word_.load(std::memory_order_acquire) & ~kLeft) != reinterpret_cast<std::uintptr_t>(&element);
  }
  // The giver will not look any more whether the element is finished, which becomes the taker's to hand back. False if
  // it is finished already, and stays the giver's.
  [[nodiscard]] bool leave(const T& element) noexcept {
    auto expected = reinterpret_cast<std::uintptr_t>(&element);
    return word_.compare_exchange_strong(expected, expected | kLeft);
  }

  // The taker begins to look here.
  void open() noexcept {
    check(word_.load(std::memory_order_relaxed) == kClosed, "a place for handing over is opened once");
    word_.store(kOpen, std::memory_order_release);
  }
  // The taker, where it is open: what was handed; null if nothing was.
  [[nodiscard]] T* taken() const noexcept {
    const std::uintptr_t word = word_.load(std::memory_order_acquire);
    // An address with a mark. NOLINTNEXTLINE(performance-no-int-to-ptr)
    return word == kOpen ? nullptr : reinterpret_cast<T*>(word & ~kLeft);
  }
  // The taker will not look any more. False if something was handed meanwhile.
  [[nodiscard]] bool close() noexcept {
    std::uintptr_t expected = kOpen;
    return word_.compare_exchange_strong(expected, kClosed);
  }
  // The taker is done with the element, and looks again. True: it was left to the taker to hand back.
  [[nodiscard]] bool finish() noexcept { return (word_.exchange(kOpen) & kLeft) != 0; }

 private:
  static constexpr std::uintptr_t kClosed = 0;
  static constexpr std::uintptr_t kLeft = 1;
  static constexpr std::uintptr_t kOpen = 2;

  alignas(64) std::atomic<std::uintptr_t> word_ = kClosed;
};

}  // namespace leasepool::detail
