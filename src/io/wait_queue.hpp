// WaitQueue: those who wait for the next of something, in order, each with a deadline of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <utility>

#include "base/clock.hpp"
#include "leasepool/detail/io_wait.hpp"
#include "loop/loop_core.hpp"

namespace leasepool::detail {

// Loop thread only. One operation serves them all, so their deadlines are timers of the loop.
template <class T>
class WaitQueue {
 public:
  explicit WaitQueue(LoopCore& loop) noexcept : loop_(loop) {}
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  ~WaitQueue() {
    while (!waiting_.empty()) remove(waiting_.begin());
  }

  // `timed_out` runs at the deadline unless the wait has ended. Throws std::bad_alloc.
  void add(std::uint64_t number, Duration timeout, Scheduler::Handler timed_out, IoCallback<T> done) {
    const auto waiter = waiting_.insert(waiting_.end(), Waiter{.number = number, .done = std::move(done)});
    try {
      waiter->timer = loop_.call_at(deadline_after(loop_.now(), timeout), std::move(timed_out));
    } catch (...) {
      waiting_.erase(waiter);
      throw;
    }
  }

  [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
  [[nodiscard]] bool has_served() const noexcept { return !served_.empty(); }

  // Gives the first one what it waits for, or why not; it is told by deliver_first().
  void serve(Result<T> result) noexcept { serve(waiting_.begin(), std::move(result)); }
  // The same of one; nothing if it does not wait any more.
  void fail(std::uint64_t number, Error error) noexcept {
    const auto waiter = find(waiting_, number);
    if (waiter != waiting_.end()) serve(waiter, std::unexpected(std::move(error)));
  }
  void fail_all(const Error& error) noexcept {
    while (!waiting_.empty()) serve(std::unexpected(error));
  }
  // Nobody is told; returns what it had been given.
  std::optional<T> cancel(std::uint64_t number) noexcept {
    if (const auto waiter = find(waiting_, number); waiter != waiting_.end()) remove(waiter);
    const auto served = find(served_, number);
    if (served == served_.end()) return std::nullopt;
    std::optional<T> given;
    if (*served->result) given.emplace(*std::move(*served->result));
    served_.erase(served);
    return given;
  }
  void deliver_first() {
    std::list<Waiter> first;
    first.splice(first.end(), served_, served_.begin());
    first.front().done(*std::move(first.front().result));
  }

 private:
  struct Waiter {
    std::uint64_t number = 0;
    TimerId timer = 0;
    IoCallback<T> done{};
    std::optional<Result<T>> result{};
  };
  using Waiters = std::list<Waiter>;

  static typename Waiters::iterator find(Waiters& waiters, std::uint64_t number) noexcept {
    auto at = waiters.begin();
    while (at != waiters.end() && at->number != number) ++at;
    return at;
  }
  void serve(typename Waiters::iterator waiter, Result<T> result) noexcept {
    loop_.cancel_timer(waiter->timer);
    waiter->result.emplace(std::move(result));
    served_.splice(served_.end(), waiting_, waiter);
  }
  void remove(typename Waiters::iterator waiter) noexcept {
    loop_.cancel_timer(waiter->timer);
    waiting_.erase(waiter);
  }

  LoopCore& loop_;
  Waiters waiting_;
  Waiters served_;  // and not told yet
};

}  // namespace leasepool::detail
