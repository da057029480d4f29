// WaiterQueue: who waits for a pool, first come, first served.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "base/check.hpp"
#include "lease/stop_callback.hpp"
#include "leasepool/manager.hpp"
#include "loop/deferred.hpp"
#include "loop/timer_queue.hpp"

namespace leasepool::detail {

struct Waiter {
  AcquireRequest request;
  std::unique_ptr<Notice<ExecutorLease>> notice;
  TimePoint since{};
  TimerId timer = 0;
  std::unique_ptr<StopCallback> cancellation{};
};

// Ordered by arrival; any waiter may leave. Only push() takes memory. One thread.
class WaiterQueue {
 public:
  // The id by which the waiter may leave; never 0. Throws std::bad_alloc.
  std::uint64_t push(Waiter waiter) {
    check(waiter.notice != nullptr, "who waits has not been told yet");
    waiters_.emplace_hint(waiters_.end(), last_id_ + 1, std::move(waiter));
    return ++last_id_;
  }
  [[nodiscard]] Waiter pop_front() noexcept {
    check(!empty(), "somebody waits who is taken from the front of the queue");
    return std::move(waiters_.extract(waiters_.begin()).mapped());
  }
  [[nodiscard]] Waiter* find(std::uint64_t id) noexcept {
    const auto found = waiters_.find(id);
    return found == waiters_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] Waiter remove(std::uint64_t id) noexcept {
    auto removed = waiters_.extract(id);
    check(!removed.empty(), "a waiter leaves the queue once");
    return std::move(removed.mapped());
  }
  [[nodiscard]] bool empty() const noexcept { return waiters_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return waiters_.size(); }
  [[nodiscard]] const std::map<std::uint64_t, Waiter>& all() const noexcept { return waiters_; }

 private:
  std::map<std::uint64_t, Waiter> waiters_;
  std::uint64_t last_id_ = 0;
};

}  // namespace leasepool::detail
