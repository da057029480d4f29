// Scheduler: what the layers above need of a loop to decide things in time, so that a simulation can stand in for it.
#pragma once

#include <functional>
#include <memory>

#include "leasepool/detail/deliverable.hpp"
#include "leasepool/duration.hpp"
#include "loop/deferred.hpp"
#include "loop/timer_queue.hpp"

namespace leasepool::detail {

// Keeps work back for as long as more may follow. Loop thread only.
class Coalesced {
 public:
  virtual void flush() = 0;

 protected:
  ~Coalesced() = default;
};

class TimedWait;

// Loop thread only, but for post() and on_thread().
class Scheduler {
 public:
  using Handler = std::move_only_function<void()>;

  // A fresh reading: a deadline counted from it never comes early, however long this turn has run already.
  [[nodiscard]] virtual TimePoint now() const noexcept = 0;

  // When a call is submitted whose deadline does not depend on it: no later than now(). Among callbacks that follow
  // each other quickly, that of a call shortly before.
  [[nodiscard]] virtual TimePoint submission_time() noexcept { return now(); }

  // The reading by which this turn decides what is due.
  [[nodiscard]] virtual TimePoint turn_time() const noexcept = 0;

  // Runs `handler` on the first turn whose time is not before the deadline; never for kNever (returns 0). Throws
  // std::bad_alloc, and then there is no timer. One that is set where another was taken or cancelled needs no memory if
  // the handler itself needs none.
  virtual TimerId call_at(TimePoint deadline, Handler handler) = 0;
  virtual bool cancel_timer(TimerId id) noexcept = 0;

  // A wait that runs `expired` when it ends at its deadline. Throws std::bad_alloc.
  virtual std::unique_ptr<TimedWait> make_timed_wait(Handler expired) = 0;

  // Runs it later in this turn or in the next, in order: how everything of the caller's own is called back.
  virtual void defer(std::unique_ptr<Deferred> deferred) noexcept = 0;
  // The same of a function; throws std::bad_alloc.
  void defer(Handler handler) { defer(std::make_unique<DeferredFunction>(std::move(handler))); }

  // The same, before the outcomes of this turn are delivered: for what was said before them.
  virtual void report(std::unique_ptr<Deferred> deferred) noexcept = 0;
  void report(Handler handler) { report(std::make_unique<DeferredFunction>(std::move(handler))); }

  // Delivers the outcome of what has ended, the same way.
  virtual void deliver(std::unique_ptr<Deliverable> ended) noexcept = 0;

  // Any thread: runs it on the loop's; dropped when the loop is gone.
  virtual void post(std::unique_ptr<Deferred> deferred) noexcept = 0;
  void post(Handler handler) { post(std::make_unique<DeferredFunction>(std::move(handler))); }

  // Something is on its way that is worth looking for instead of going to sleep at once, for at most so long; and it
  // came, or will not.
  virtual void begin_busy_poll(Duration /*spin*/) noexcept {}
  virtual void end_busy_poll(Duration /*spin*/) noexcept {}
  // Who is to bring it slept, and takes a while to get up.
  virtual void note_slow_wake() noexcept {}

  // True if more callbacks follow in this turn: flush() is then called behind the last of them. False: none do, or
  // there is no memory to note it.
  [[nodiscard]] virtual bool flush_after_callbacks(const std::shared_ptr<Coalesced>& /*work*/) noexcept {
    return false;
  }

  [[nodiscard]] virtual bool on_thread() const noexcept = 0;

  // The loop is gone: nothing that is added runs any more.
  [[nodiscard]] virtual bool closed() const noexcept = 0;

  // This process is a fork of the one that made the loop, which is not to be touched here. Any thread.
  [[nodiscard]] virtual bool is_copy() const noexcept { return false; }

 protected:
  ~Scheduler() = default;
};

}  // namespace leasepool::detail
