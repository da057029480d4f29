// Scheduler: what the layers above need of a loop to decide things in time, so that a simulation can stand in for it.
#pragma once

#include <functional>
#include <memory>

#include "leasepool/detail/job.hpp"
#include "leasepool/duration.hpp"
#include "loop/timer_queue.hpp"

namespace leasepool::detail {

// Keeps work back for as long as more may follow. Loop thread only.
class HeldWork {
 public:
  virtual void hand_over() = 0;

 protected:
  ~HeldWork() = default;
};

// Loop thread only, but for post() and on_thread().
class Scheduler {
 public:
  using Handler = std::move_only_function<void()>;

  // A fresh reading: a deadline counted from it never comes early, however long this turn has run already.
  [[nodiscard]] virtual TimePoint now() const noexcept = 0;

  // Runs `handler` on the first turn whose time is not before the deadline; never for kNever (gives 0).
  virtual TimerId call_at(TimePoint deadline, Handler handler) = 0;
  virtual bool cancel_timer(TimerId id) = 0;

  // Runs `handler` later in this turn or in the next, in order: how everything of the caller's own is called back.
  virtual void defer(Handler handler) = 0;

  // The same, before the outcomes of this turn are delivered: for what was said before them.
  virtual void report(Handler handler) = 0;

  // The same for a job's delivery.
  virtual void deliver(std::unique_ptr<Job> job) = 0;

  // Any thread: runs `handler` on the loop's; dropped when the loop is gone.
  virtual void post(Handler handler) = 0;

  // Something is on its way that is worth looking for instead of going to sleep at once, for at most so long; and it
  // came, or will not.
  virtual void expect(Duration /*spin*/) {}
  virtual void came(Duration /*spin*/) {}
  // Who is to bring it slept, and takes a while to get up.
  virtual void woke_worker() {}

  // True if more callbacks follow in this turn: hand_over() is then called behind the last of them. False: none do.
  [[nodiscard]] virtual bool hold(const std::shared_ptr<HeldWork>& /*work*/) { return false; }

  [[nodiscard]] virtual bool on_thread() const noexcept = 0;

  // The loop is gone: nothing that is added runs any more.
  [[nodiscard]] virtual bool closed() const noexcept = 0;

 protected:
  ~Scheduler() = default;
};

}  // namespace leasepool::detail
