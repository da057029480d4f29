// SpscRing: a bounded queue from one thread to one other, which looks into it, or is called when there is something.
// Made of an array, so that whoever fetches can have its processor load many elements at once: along a list, each of
// them would have to arrive from the other processor before the next is known.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/prefetch.hpp"

namespace leasepool::detail {

// Positions only grow. A place holds an element's address, and whether the round through the ring is odd or even, by
// which the consumer, who writes to no place, knows what is new. Whether the consumer looks by itself:
//
//   | attention    |                                          | changed by                                          |
//   | to_be_called | the producer has to call it              | producer: push() to called; consumer: watch()       |
//   | called       | it was called, and has not come yet      | consumer: acknowledge() to to_be_called             |
//   | watching     | it looks by itself                       | consumer: unwatch() to to_be_called                 |
//
// The producer adds and then looks at that, the consumer changes it and then looks what there is, all of them seq_cst:
// one of the two sees the other.
template <class T, std::size_t kMax>
class SpscRing {
  static_assert((kMax & (kMax - 1)) == 0, "places are a power of two");
  static_assert(alignof(T) >= 2, "an element's address leaves one bit free");

 public:
  static constexpr std::size_t kPlaces = kMax;

  SpscRing() = default;
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;
  ~SpscRing() { clear(); }

  // The producer, where fewer than kPlaces elements are in it: its user sees to that. True: the consumer is to be
  // called.
  [[nodiscard]] bool push(std::unique_ptr<T> element) noexcept {
    places_[pushed_ % kPlaces].store(reinterpret_cast<Word>(element.release()) | round_of(pushed_));
    ++pushed_;
    Attention expected = Attention::to_be_called;
    return attention_.load() == Attention::to_be_called &&
           attention_.compare_exchange_strong(expected, Attention::called);
  }

  // The consumer, when it was called. For what it does not find now it is called again.
  void acknowledge() noexcept { attention_.store(Attention::to_be_called); }

  // The consumer looks by itself, from now on; it does not while it is called. And no more: returns whether there is
  // something.
  void watch() noexcept {
    Attention expected = Attention::to_be_called;
    attention_.compare_exchange_strong(expected, Attention::watching);
  }
  [[nodiscard]] bool unwatch() noexcept {
    Attention expected = Attention::watching;
    attention_.compare_exchange_strong(expected, Attention::to_be_called);
    return ready() != nullptr;
  }

  // The consumer: the oldest element, which stays; null when there is none.
  [[nodiscard]] const T* ready() const noexcept {
    const Word word = places_[head_ % kPlaces].load();
    return (word & kRound) == round_of(head_) ? element_in(word) : nullptr;
  }
  [[nodiscard]] std::unique_ptr<T> pop() noexcept {
    const Word word = places_[head_ % kPlaces].load();
    if ((word & kRound) != round_of(head_)) return nullptr;
    prefetch(++head_);
    return std::unique_ptr<T>(element_in(word));
  }

  // The consumer will fetch nothing any more: either of them destroys what there is. They may both be at it. For what
  // comes later the producer is told to call, and then clears.
  void clear() noexcept {
    attention_.store(Attention::to_be_called);
    for (std::uint64_t position = head_; position != head_ + kPlaces; ++position) {
      std::atomic<Word>& place = places_[position % kPlaces];
      Word word = place.load();
      if ((word & kRound) != round_of(position)) continue;
      if (place.compare_exchange_strong(word, word & kRound)) std::unique_ptr<T>(element_in(word)).reset();
    }
  }

 private:
  using Word = std::uintptr_t;
  enum class Attention : std::uint8_t { to_be_called, called, watching };
  static constexpr std::size_t kCacheLine = 64;
  static constexpr Word kRound = 1;
  static constexpr std::uint64_t kAhead = 6;

  // An address with a mark. NOLINTNEXTLINE(performance-no-int-to-ptr)
  static T* element_in(Word word) noexcept { return reinterpret_cast<T*>(word & ~kRound); }

  // The first one is odd: a place that was never filled is none of it.
  static Word round_of(std::uint64_t position) noexcept { return ((position / kPlaces) & kRound) ^ kRound; }

  // The first lines of elements that come soon.
  void prefetch(std::uint64_t position) noexcept {
    for (ahead_ = std::max(ahead_, position); ahead_ < position + kAhead; ++ahead_) {
      const Word word = places_[ahead_ % kPlaces].load(std::memory_order_relaxed);
      if ((word & kRound) != round_of(ahead_)) return;
      prefetch_element(element_in(word));
    }
  }

  alignas(kCacheLine) std::uint64_t pushed_ = 0;  // the producer's
  alignas(kCacheLine) std::atomic<Attention> attention_ = Attention::to_be_called;
  alignas(kCacheLine) std::uint64_t head_ = 0;  // the consumer's, as is how far it has had elements loaded
  std::uint64_t ahead_ = 0;
  alignas(kCacheLine) std::array<std::atomic<Word>, kPlaces> places_{};
};

}  // namespace leasepool::detail
