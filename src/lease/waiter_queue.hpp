// WaiterQueue: who waits for a pool, first come, first served.
#pragma once

#include <cstdint>
#include <map>

#include "leasepool/manager.hpp"
#include "loop/timer_queue.hpp"

namespace leasepool::detail {

struct Waiter {
  AcquireRequest request;
  AcquireCallback callback;
  TimePoint since{};
  TimerId timer = 0;
};

// Ordered by arrival; any waiter may leave. One thread.
class WaiterQueue {
 public:
  // The id by which the waiter may leave; never 0.
  std::uint64_t push(Waiter waiter) {
    waiters_.emplace(++last_id_, std::move(waiter));
    return last_id_;
  }
  [[nodiscard]] Waiter pop_front() { return std::move(waiters_.extract(waiters_.begin()).mapped()); }
  [[nodiscard]] Waiter* find(std::uint64_t id) {
    const auto found = waiters_.find(id);
    return found == waiters_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] Waiter remove(std::uint64_t id) { return std::move(waiters_.extract(id).mapped()); }
  [[nodiscard]] bool empty() const noexcept { return waiters_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return waiters_.size(); }
  [[nodiscard]] const std::map<std::uint64_t, Waiter>& all() const noexcept { return waiters_; }

 private:
  std::map<std::uint64_t, Waiter> waiters_;
  std::uint64_t last_id_ = 0;
};

}  // namespace leasepool::detail
