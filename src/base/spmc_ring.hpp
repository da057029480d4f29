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
//   | a place holds          | is changed by                                                               |
//   | null, and its round    | the producer, when the head is past it: publish(), to the next round        |
//   | element, and its round | whoever takes it, to null: a consumer by pop(), the producer by recall()    |
//
// The round, odd or even, tells what is in its turn from what was there when the ring last went round. Whoever changes
// an element to null has it; then anybody moves the head past that, so that nobody waits for one that is slow. A
// consumer that finds nothing at the head looks whether the head is still there: others may have taken what was, and
// there is more behind it. Publishing and looking are seq_cst, as parking needs a single order with them.
// tests/models/spmc_ring.pml checks the protocol.
template <class T, std::size_t kPlaces>
class SpmcRing {
  static_assert((kPlaces & (kPlaces - 1)) == 0, "places are a power of two");
  static_assert(alignof(T) >= 2, "an element's address leaves one bit free");

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
    if (pushed_ - known_head_ >= kPlaces) known_head_ = skip_taken();
    if (pushed_ - known_head_ >= kPlaces) return element;
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
      if (element_in(expected) != &element) continue;
      if (place.compare_exchange_strong(expected, expected & kRound)) return std::unique_ptr<T>(&element);
    }
    return nullptr;
  }

  // Consumers: the oldest element; null when there is none.
  [[nodiscard]] std::unique_ptr<T> pop() noexcept {
    std::uint64_t head = head_.load();
    while (find_published(head)) {
      std::atomic<Word>& first = place(head);
      Word word = first.load();
      T* const element = element_in(word);
      if ((word & kRound) != round_of(head)) continue;  // others have had it
      if (element != nullptr && !first.compare_exchange_strong(word, word & kRound)) continue;
      if (element != nullptr) prefetch(head + 1);
      pass(head);
      if (element != nullptr) return std::unique_ptr<T>(element);
    }
    return nullptr;
  }

  // Any thread; false where what is next was taken, until that is passed over.
  [[nodiscard]] bool empty() const noexcept {
    std::uint64_t head = head_.load();
    return !find_published(head);
  }
  // How many there are; those that were taken count until they are passed over.
  [[nodiscard]] std::size_t size() const noexcept {
    const std::uint64_t head = head_.load();
    const std::uint64_t published = published_.load();
    return published > head ? static_cast<std::size_t>(published - head) : 0;
  }

 private:
  using Word = std::uintptr_t;
  static constexpr std::size_t kCacheLine = 64;
  static constexpr std::uint64_t kAhead = 3;
  static constexpr Word kRound = 1;

  // An address with a mark. NOLINTNEXTLINE(performance-no-int-to-ptr)
  static T* element_in(Word word) noexcept { return reinterpret_cast<T*>(word & ~kRound); }
  // The first one is odd: a place that was never filled is none of it.
  static Word round_of(std::uint64_t position) noexcept { return ((position / kPlaces) & kRound) ^ kRound; }
  std::atomic<Word>& place(std::uint64_t position) noexcept { return places_[position % kPlaces]; }
  const std::atomic<Word>& place(std::uint64_t position) const noexcept { return places_[position % kPlaces]; }

  // Whether something was published at the head, or was and is taken, but not passed over. The head may move meanwhile.
  [[nodiscard]] bool find_published(std::uint64_t& head) const noexcept {
    while ((place(head).load() & kRound) != round_of(head)) {
      const std::uint64_t looked_at = head;
      head = head_.load();
      if (head == looked_at) return false;
    }
    return true;
  }
  // Moves the head past what was taken there, unless others have.
  void pass(std::uint64_t& head) noexcept {
    if (head_.compare_exchange_strong(head, head + 1)) ++head;
  }

  // Elements that come soon: this consumer may get them.
  void prefetch(std::uint64_t position) const noexcept {
    for (std::uint64_t ahead = position; ahead != position + kAhead; ++ahead) {
      prefetch_element(element_in(place(ahead).load(std::memory_order_relaxed)));
    }
  }

  // The producer: returns the head. Consumers may be too busy to come by what was taken there.
  std::uint64_t skip_taken() noexcept {
    std::uint64_t head = head_.load();
    while (place(head).load() == round_of(head)) pass(head);
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
