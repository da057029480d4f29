// Pending: an item that a grinder has queued, to be awaited later.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <coroutine>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "leasepool/detail/access.hpp"
#include "leasepool/detail/resume.hpp"
#include "leasepool/detail/work_item.hpp"
#include "leasepool/error.hpp"

namespace leasepool {

namespace detail {

// Where a queued item's result waits to be asked for.
template <class R>
struct PendingOutcome {
  std::optional<Result<R>> result;
  std::coroutine_handle<> waiter;
  bool awaited = false;
};

template <class R>
class PendingReceiver {
 public:
  explicit PendingReceiver(std::shared_ptr<PendingOutcome<R>> outcome) : outcome_(std::move(outcome)) {}
  void operator()(Result<R>&& result) {
    keep_result(outcome_->result, std::move(result));
    if (const auto waiter = std::exchange(outcome_->waiter, {})) resume(waiter);
  }

 private:
  std::shared_ptr<PendingOutcome<R>> outcome_;
};

// In the frame of the coroutine that waits: when that is destroyed, nobody is resumed.
template <class R>
class PendingAwaiter {
 public:
  explicit PendingAwaiter(std::shared_ptr<PendingOutcome<R>> outcome) noexcept : outcome_(std::move(outcome)) {}
  PendingAwaiter(const PendingAwaiter&) = delete;
  PendingAwaiter& operator=(const PendingAwaiter&) = delete;
  ~PendingAwaiter() { outcome_->waiter = {}; }

  [[nodiscard]] bool await_ready() const noexcept { return outcome_->result.has_value(); }
  void await_suspend(std::coroutine_handle<> waiter) noexcept { outcome_->waiter = waiter; }
  R await_resume() {
    if (!outcome_->result->has_value()) outcome_->result->error().raise();
    if constexpr (!std::is_void_v<R>) return std::move(**outcome_->result);
  }

 private:
  std::shared_ptr<PendingOutcome<R>> outcome_;
};

}  // namespace detail

/// What WorkGrinder::enqueue() returns. Loop thread only; move-only; may outlive the grinder and the loop. Dropping it
/// detaches: the item still runs, and nobody hears of it.
template <class R>
class Pending {
 public:
  Pending(Pending&&) noexcept = default;
  Pending& operator=(Pending&&) noexcept = default;
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  ~Pending() = default;

  /// Whether its outcome is there, so that awaiting it does not wait; also while and after it is awaited. False of one
  /// that was moved from.
  [[nodiscard]] bool done() const noexcept { return outcome_ != nullptr && outcome_->result.has_value(); }

  /// Takes the item back: one that waits is gone at once and never runs; one that runs on a worker process ends with
  /// its worker, one on a thread sees its std::stop_token and goes on. Awaiting it then throws cancelled. An item of a
  /// batch function that is in flight goes on. Nothing happens once it is done.
  void cancel() const {
    if (item_) detail::cancel_item(item_);
  }

  /// co_await, once: returns the function's result, or throws what it threw or LeasePoolError.
  auto operator co_await() {
    if (!outcome_ || std::exchange(outcome_->awaited, true)) {
      throw std::logic_error("leasepool: a Pending is awaited once, and this one was, or was moved from");
    }
    return detail::PendingAwaiter<R>(outcome_);
  }

 private:
  friend struct detail::Access;
  Pending(std::shared_ptr<detail::ItemState> item, std::shared_ptr<detail::PendingOutcome<R>> outcome) noexcept
      : item_(std::move(item)), outcome_(std::move(outcome)) {}

  std::shared_ptr<detail::ItemState> item_;
  std::shared_ptr<detail::PendingOutcome<R>> outcome_;
};

}  // namespace leasepool

#endif
