// SpmcRing: a bounded queue from one thread to many, from which the one can take an element back as long as nobody
// has claimed it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/prefetch.hpp"

namespace leasepool::detail {

// Positions only grow. A place itself says what is in it, so consumers look at one cache line, and that brings up to
// eight elements with it:
//
//   | a place holds          | is changed by                                                        |
//   | null                   | the producer: publish()                                              |
//   | element, and its round | the producer: recall(); the consumer that has claimed it, to null    |
//   | recalled, and round    | whoever moves the head past it, to null                              |
//
// The round, odd or even, tells what is in its turn from what a slow consumer has claimed, but not yet emptied, when
// the ring has gone round. Consumers compete for the head; whoever moves it has claimed the place. Publishing is
// seq_cst, as parking needs a single order with it.
template <class T, std::size_t kPlaces>
class SpmcRing {
  static_assert((kPlaces & (kPlaces - 1)) == 0, "places are a power of two");
  static_assert(alignof(T) >= 4, "an element's address leaves two bits free");

 public:
  SpmcRing() = default;
  SpmcRing(const SpmcRing&) = delete;
  SpmcRing& operator=(const SpmcRing&) = delete;
  ~SpmcRing() {
    publish();
    while (pop()) {
    }
  }

  // The producer. Returns the element when there is no room. Consumers see it at the next publish().
  [[nodiscard]] std::unique_ptr<T> push(std::unique_ptr<T> element) noexcept {
    if (pushed_ - known_head_ >= kPlaces) known_head_ = skip_recalled();
    // A place that is not null belongs to a consumer that has claimed it and not yet emptied it.
    if (pushed_ - known_head_ >= kPlaces || place(pushed_).load(std::memory_order_acquire) != kEmpty) return element;
    staged_[pushed_++ % kPlaces] = element.release();
    return nullptr;
  }
  // The last one first: whoever sees the first finds the others there.
  void publish() noexcept {
    const std::uint64_t published = published_.load(std::memory_order_relaxed);
    if (published == pushed_) return;
    published_.store(pushed_, std::memory_order_relaxed);
    for (std::uint64_t position = pushed_; position-- != published;) {
      place(position).store(reinterpret_cast<Word>(staged_[position % kPlaces]) | round_of(position));
    }
  }

  // The producer, when it has published all: null if the element is not here any more.
  [[nodiscard]] std::unique_ptr<T> recall(T& element) noexcept {
    for (std::atomic<Word>& place : places_) {
      Word expected = place.load(std::memory_order_relaxed);
      if ((expected & kAddress) != reinterpret_cast<Word>(&element)) continue;
      if (place.compare_exchange_strong(expected, kRecalled | (expected & kRound))) {
        return std::unique_ptr<T>(&element);
      }
    }
    return nullptr;
  }

  // Consumers: the oldest element; null when there is none.
  [[nodiscard]] std::unique_ptr<T> pop() noexcept {
    for (std::uint64_t head = head_.load(std::memory_order_relaxed); is_published(head);) {
      if (!head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel, std::memory_order_relaxed)) continue;
      prefetch(head + 1);
      const Word word = place(head).exchange(kEmpty, std::memory_order_acq_rel);
      if ((word & kRecalled) == 0) return std::unique_ptr<T>(reinterpret_cast<T*>(word & kAddress));
      ++head;
    }
    return nullptr;
  }

  // Any thread; true where what is next was taken back, until that is passed over.
  [[nodiscard]] bool empty() const noexcept { return !is_published(head_.load()); }
  // How many there are; those that were taken back count until they are passed over.
  [[nodiscard]] std::size_t size() const noexcept {
    const std::uint64_t head = head_.load();
    const std::uint64_t published = published_.load();
    return published > head ? static_cast<std::size_t>(published - head) : 0;
  }

 private:
  using Word = std::uintptr_t;
  static constexpr std::size_t kCacheLine = 64;
  static constexpr std::uint64_t kAhead = 3;
  static constexpr Word kEmpty = 0;
  static constexpr Word kRound = 1;
  static constexpr Word kRecalled = 2;
  static constexpr Word kAddress = ~(kRound | kRecalled);

  static Word round_of(std::uint64_t position) noexcept { return (position / kPlaces) & kRound; }
  std::atomic<Word>& place(std::uint64_t position) noexcept { return places_[position % kPlaces]; }
  const std::atomic<Word>& place(std::uint64_t position) const noexcept { return places_[position % kPlaces]; }

  [[nodiscard]] bool is_published(std::uint64_t position) const noexcept {
    const Word word = place(position).load();
    return word != kEmpty && (word & kRound) == round_of(position);
  }

  // Elements that come soon: this consumer may get them.
  void prefetch(std::uint64_t position) const noexcept {
    for (std::uint64_t ahead = position; ahead != position + kAhead; ++ahead) {
      prefetch_element(reinterpret_cast<const void*>(place(ahead).load(std::memory_order_relaxed) & kAddress));
    }
  }

  // The producer: returns the head. Consumers may be too busy to come by what was taken back there.
  std::uint64_t skip_recalled() noexcept {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    while (place(head).load(std::memory_order_acquire) == (kRecalled | round_of(head))) {
      if (!head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
      place(head++).store(kEmpty, std::memory_order_release);
    }
    return head;
  }

  alignas(kCacheLine) std::atomic<std::uint64_t> head_ = 0;
  alignas(kCacheLine) std::atomic<std::uint64_t> published_ = 0;
  std::uint64_t pushed_ = 0;  // the producer's, as is the head that it last saw, and what it has not published
  std::uint64_t known_head_ = 0;
  std::array<T*, kPlaces> staged_{};
  alignas(kCacheLine) std::array<std::atomic<Word>, kPlaces> places_{};
};

}  // namespace leasepool::detail
