// SpscRing: a bounded queue from one thread to one other that fetches what is in it when it is notified, once for all
// that it has not fetched yet. Made of an array, so that the fetching thread can have its processor load many elements
// at once: along a list, each of them would have to arrive from the other processor before the next is known.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace leasepool::detail {

// Positions only grow. The tail and whether the consumer was notified are seq_cst: the producer adds and then looks
// whether it has notified, the consumer notes that it is here and then looks what there is; one of the two sees the
// other.
template <class T, std::size_t kMax>
class SpscRing {
  static_assert((kMax & (kMax - 1)) == 0, "places are a power of two");

 public:
  static constexpr std::size_t kPlaces = kMax;

  SpscRing() = default;
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;
  ~SpscRing() { clear(); }

  // The producer, where fewer than kPlaces elements are in it: its user sees to that. True: the consumer is to be
  // notified.
  [[nodiscard]] bool push(std::unique_ptr<T> element) noexcept {
    places_[pushed_ % kPlaces].store(element.release(), std::memory_order_release);
    tail_.store(++pushed_);
    return !notified_.load() && !notified_.exchange(true);
  }

  // The consumer, when it was notified: looks what there is. For what comes later it is notified again.
  void acknowledge() noexcept {
    notified_.store(false);
    seen_ = tail_.load();
    for (std::uint64_t position = head_; position < head_ + kAhead; ++position) prefetch(position);
  }

  // The consumer: the oldest element of those it has seen; null when there is none.
  [[nodiscard]] std::unique_ptr<T> pop() noexcept {
    if (head_ == seen_) return nullptr;
    prefetch(head_ + kAhead);
    std::atomic<T*>& place = places_[head_++ % kPlaces];
    T* const element = place.load(std::memory_order_relaxed);
    place.store(nullptr, std::memory_order_relaxed);
    return std::unique_ptr<T>(element);
  }

  // Either of them, when the consumer will fetch nothing any more. They may both be at it.
  void clear() noexcept {
    notified_.store(false);
    (void)tail_.load();
    for (std::atomic<T*>& place : places_)
      std::unique_ptr<T>(place.exchange(nullptr, std::memory_order_acq_rel)).reset();
  }

 private:
  static constexpr std::size_t kCacheLine = 64;
  static constexpr std::uint64_t kAhead = 6;

  // The first lines of an element that comes soon.
  void prefetch(std::uint64_t position) const noexcept {
    if (position >= seen_) return;
    const auto* const element =
        reinterpret_cast<const std::byte*>(places_[position % kPlaces].load(std::memory_order_relaxed));
    __builtin_prefetch(element, 1);
    __builtin_prefetch(element + 2 * kCacheLine);
    __builtin_prefetch(element + 3 * kCacheLine);
  }

  alignas(kCacheLine) std::atomic<std::uint64_t> tail_ = 0;
  std::uint64_t pushed_ = 0;  // the producer's
  alignas(kCacheLine) std::atomic<bool> notified_ = false;
  alignas(kCacheLine) std::uint64_t head_ = 0;  // the consumer's, as is the tail that it last saw
  std::uint64_t seen_ = 0;
  alignas(kCacheLine) std::array<std::atomic<T*>, kPlaces> places_{};
};

}  // namespace leasepool::detail
