// SpmcRing: a bounded queue from one thread to many, from which the one can take an element back as long as nobody
// has claimed it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace leasepool::detail {

// Positions only grow. Consumers compete for the head; whoever then swaps the place's pointer out owns the element, and
// finds null where it was taken back. The tail is seq_cst, as parking needs a single order with it.
template <class T, std::size_t kPlaces>
class SpmcRing {
  static_assert((kPlaces & (kPlaces - 1)) == 0, "places are a power of two");

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
    std::atomic<T*>& place = places_[pushed_ % kPlaces];
    // A place that is not null belongs to a consumer that has claimed it and not yet emptied it.
    if (pushed_ - known_head_ >= kPlaces) known_head_ = skip_recalled();
    if (pushed_ - known_head_ >= kPlaces || place.load(std::memory_order_relaxed) != nullptr) return element;
    place.store(element.release(), std::memory_order_release);
    ++pushed_;
    return nullptr;
  }
  void publish() noexcept { tail_.store(pushed_); }

  // The producer: null if the element is not here any more.
  [[nodiscard]] std::unique_ptr<T> recall(T& element) noexcept {
    for (std::atomic<T*>& place : places_) {
      T* expected = &element;
      if (place.load(std::memory_order_relaxed) == &element && place.compare_exchange_strong(expected, nullptr)) {
        return std::unique_ptr<T>(&element);
      }
    }
    return nullptr;
  }

  // Consumers: the oldest element; null when there is none.
  [[nodiscard]] std::unique_ptr<T> pop() noexcept {
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    while (head != tail_.load()) {
      if (!head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel, std::memory_order_relaxed)) continue;
      if (T* const element = places_[head % kPlaces].exchange(nullptr, std::memory_order_acq_rel)) {
        return std::unique_ptr<T>(element);
      }
      ++head;
    }
    return nullptr;
  }

  // Any thread; places whose elements were taken back count until they are passed over.
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] std::size_t size() const noexcept {
    const std::uint64_t head = head_.load();
    return static_cast<std::size_t>(tail_.load() - head);
  }

 private:
  // The producer: returns the head. A place there that is empty and nobody has claimed was taken back; consumers may be
  // too busy to come by.
  std::uint64_t skip_recalled() noexcept {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    while (head != tail_.load(std::memory_order_relaxed) &&
           places_[head % kPlaces].load(std::memory_order_acquire) == nullptr) {
      if (head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel, std::memory_order_acquire)) ++head;
    }
    return head;
  }

  static constexpr std::size_t kCacheLine = 64;

  alignas(kCacheLine) std::atomic<std::uint64_t> head_ = 0;
  alignas(kCacheLine) std::atomic<std::uint64_t> tail_ = 0;
  alignas(kCacheLine) std::uint64_t pushed_ = 0;  // the producer's, as is the head that it last saw
  std::uint64_t known_head_ = 0;
  alignas(kCacheLine) std::array<std::atomic<T*>, kPlaces> places_{};
};

}  // namespace leasepool::detail
