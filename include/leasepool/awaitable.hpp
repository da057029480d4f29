// The link between a coroutine that waits and the completion that will come: what every awaitable verb returns.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <coroutine>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "leasepool/detail/keep_result.hpp"
#include "leasepool/detail/resume.hpp"
#include "leasepool/error.hpp"

namespace leasepool {

namespace detail {

template <class T>
class AwaitReceiver;

// Where a result waits for its coroutine. Lives in the coroutine's frame; loop thread only.
template <class T>
class AwaitSlot {
 public:
  AwaitSlot() = default;
  AwaitSlot(const AwaitSlot&) = delete;
  AwaitSlot& operator=(const AwaitSlot&) = delete;
  ~AwaitSlot();

  std::coroutine_handle<> waiter;
  std::optional<Result<T>> result;

 private:
  friend class AwaitReceiver<T>;
  AwaitReceiver<T>* receiver_ = nullptr;
};

// The completion's end of the link: a callback that resumes the coroutine, or does nothing once the coroutine is gone.
template <class T>
class AwaitReceiver {
 public:
  AwaitReceiver() = default;
  explicit AwaitReceiver(AwaitSlot<T>& slot) : slot_(&slot) { slot.receiver_ = this; }
  AwaitReceiver(AwaitReceiver&& other) noexcept { *this = std::move(other); }
  AwaitReceiver& operator=(AwaitReceiver&& other) noexcept {
    unlink();
    slot_ = std::exchange(other.slot_, nullptr);
    if (slot_ != nullptr) slot_->receiver_ = this;
    return *this;
  }
  ~AwaitReceiver() { unlink(); }

  void operator()(Result<T>&& result) {
    AwaitSlot<T>* const slot = slot_;
    if (slot == nullptr) return;
    unlink();
    keep_result(slot->result, std::move(result));
    resume(slot->waiter);
  }

 private:
  friend class AwaitSlot<T>;
  void unlink() noexcept {
    if (slot_ != nullptr) slot_->receiver_ = nullptr;
    slot_ = nullptr;
  }
  AwaitSlot<T>* slot_ = nullptr;
};

template <class T>
AwaitSlot<T>::~AwaitSlot() {
  if (receiver_ != nullptr) receiver_->slot_ = nullptr;
}

}  // namespace detail

/// What the awaitable verbs return. Nothing happens before it is awaited; it is awaited once, on the loop's thread: a
/// second await, or one of an awaitable that was moved from, throws std::logic_error. Destroying the coroutine that
/// waits detaches it from the operation (or cancels it, where the verb says so). Throws what went wrong from the await.
template <class T, class Starter>
class [[nodiscard("an awaitable does nothing before it is awaited")]] Awaitable {
 public:
  explicit Awaitable(Starter starter) : starter_(std::move(starter)) {}
  Awaitable(Awaitable&& other) noexcept
      : starter_(std::move(other.starter_)), awaited_(std::exchange(other.awaited_, true)) {}
  Awaitable(const Awaitable&) = delete;
  Awaitable& operator=(const Awaitable&) = delete;
  Awaitable& operator=(Awaitable&&) = delete;
  ~Awaitable() = default;

  [[nodiscard]] bool await_ready() {
    if (std::exchange(awaited_, true)) {
      throw std::logic_error("leasepool: an awaitable is awaited once, and this one was, or was moved from");
    }
    return false;
  }

  void await_suspend(std::coroutine_handle<> waiter) {
    slot_.waiter = waiter;
    if constexpr (kHoldsTicket) {
      ticket_.emplace(starter_(detail::AwaitReceiver<T>(slot_)));
    } else {
      starter_(detail::AwaitReceiver<T>(slot_));
    }
  }

  T await_resume() {
    if (!slot_.result->has_value()) slot_.result->error().raise();
    if constexpr (!std::is_void_v<T>) return std::move(**slot_.result);
  }

 private:
  // A starter may return a ticket: an object whose destruction cancels what has not come yet.
  using Ticket = std::invoke_result_t<Starter&, detail::AwaitReceiver<T>>;
  static constexpr bool kHoldsTicket = !std::is_void_v<Ticket>;
  struct NoTicket {};

  Starter starter_;
  bool awaited_ = false;
  detail::AwaitSlot<T> slot_;
  [[no_unique_address]] std::conditional_t<kHoldsTicket, std::optional<std::conditional_t<kHoldsTicket, Ticket, int>>,
                                           NoTicket> ticket_;
};

}  // namespace leasepool

#endif
