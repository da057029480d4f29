// LoopCore: the event loop behind Loop. One turn is: submit and wait, then everything that became due, each kind once:
// completions, pollers, what threads hand back, timers, posts of other threads, deferred callbacks. Completion handlers
// are the library's own; what belongs to the caller runs deferred, so never while completions are handled and never
// inside the call that started it.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/intrusive_queue.hpp"
#include "base/process_identity.hpp"
#include "leasepool/detail/deliverable.hpp"
#include "leasepool/loop.hpp"
#include "loop/busy_poll.hpp"
#include "loop/engine.hpp"
#include "loop/inbox.hpp"
#include "loop/loop_client.hpp"
#include "loop/poller.hpp"
#include "loop/scheduler.hpp"
#include "loop/submission_clock.hpp"
#include "loop/timer_queue.hpp"
#include "loop/turn_end.hpp"
#include "loop/virtual_time.hpp"
#include "loop/wake_set.hpp"

namespace leasepool::detail {

// Loop thread only, but for post(), on_thread(), inbox() and request_stop(). Held by Loop and by whatever may outlive
// it; after close() it is inert: nothing runs, and what is added is dropped.
class LoopCore final : public Scheduler, public std::enable_shared_from_this<LoopCore> {
 public:
  // With a time of its own: one in a test.
  explicit LoopCore(std::unique_ptr<Engine> engine, std::shared_ptr<VirtualTime> time = nullptr);
  LoopCore(const LoopCore&) = delete;
  LoopCore& operator=(const LoopCore&) = delete;
  ~LoopCore();

  [[nodiscard]] TimePoint now() const noexcept override {
    if (time_ != nullptr) [[unlikely]]
      return time_->now;
    return monotonic_now();
  }
  [[nodiscard]] TimePoint submission_time() noexcept override {
    return submission_clock_.read(more_deliveries_, [this] { return now(); });
  }
  // When this turn began, for what came before that.
  [[nodiscard]] TimePoint turn_time() const noexcept override { return turn_time_; }
  TimerId call_at(TimePoint deadline, Handler handler) override;
  bool cancel_timer(TimerId id) noexcept override;
  std::unique_ptr<TimedWait> make_timed_wait(Handler expired) override;
  using Scheduler::defer;
  using Scheduler::post;
  using Scheduler::report;
  void defer(std::unique_ptr<Deferred> deferred) noexcept override;
  void report(std::unique_ptr<Deferred> deferred) noexcept override;
  void deliver(std::unique_ptr<Deliverable> ended) noexcept override;
  void begin_busy_poll(Duration spin) noexcept override { busy_poll_.begin(spin); }
  void end_busy_poll(Duration spin) noexcept override { busy_poll_.end(spin); }
  void note_slow_wake() noexcept override { busy_poll_.note_slow_wake(); }
  [[nodiscard]] bool flush_after_callbacks(const std::shared_ptr<Coalesced>& work) noexcept override;
  // What is posted may be what ends the loop, before this has returned: so the inbox is held.
  void post(std::unique_ptr<Deferred> deferred) noexcept override {
    std::shared_ptr(inbox_)->post(std::move(deferred));
  }
  [[nodiscard]] bool on_thread() const noexcept override { return thread_ == std::this_thread::get_id() && !is_copy(); }

  // Throws wrong_thread, naming the verb.
  void check_thread(const char* verb) const;

  // Whether this process is a fork of the one that made the loop. Such a copy is never touched: the kernel's side of it
  // belongs to the other process.
  [[nodiscard]] bool is_copy() const noexcept override { return generation_ != process_generation(); }

  // For starting operations: outside of a turn, it sees to it that they are submitted.
  [[nodiscard]] Engine& engine() noexcept {
    wake_if_driven_from_outside();
    return *engine_;
  }
  [[nodiscard]] const Engine& engine() const noexcept { return *engine_; }
  [[nodiscard]] const std::shared_ptr<Inbox>& inbox() const noexcept { return inbox_; }

  // Whether it is in a turn, and so looks at its pollers before it sleeps, or somebody else does in its place.
  [[nodiscard]] bool in_turn() const noexcept { return turning_; }

  // Of one in a test, null of others; and moves it on, by way of every deadline, doing what is due.
  [[nodiscard]] VirtualTime* virtual_time() const noexcept { return time_.get(); }
  void advance(Duration by);

  // Looks at what does not come through the ring, from now on or no more.
  void watch(Poller& poller) noexcept { pollers_.add(poller); }
  void unwatch(Poller& poller) noexcept { pollers_.remove(poller); }

  // Does something once, at the end of this turn, or of the next one where none runs.
  void at_turn_end(TurnEnd& waiting) noexcept;
  void remove_turn_end(TurnEnd& waiting) noexcept { turn_ends_.remove(waiting); }

  void attach(LoopClient& client) { clients_.attach(client); }
  void detach(LoopClient& client) noexcept { clients_.detach(client); }
  // What all of them are and do, in the order in which they came. Throws std::bad_alloc.
  [[nodiscard]] LoopReport report() const;

  void spawn(Task<> task);
  // Runs `begin` as the first thing of a turn, then turns until `ended`.
  void run_until(const bool& ended, Handler begin);
  void run_until_stopped();
  // Any thread.
  void request_stop() noexcept { std::shared_ptr(inbox_)->request_stop(); }
  void dispatch();
  // Readable when dispatch() has something to do; from the first call on, which may throw std::system_error.
  [[nodiscard]] int poll_fd();

  // For destructors that must not return before something has ended: handles completions, and nothing of the caller's,
  // until `ended` or the deadline, or until the kernel does not let the ring go on. Returns whether it ended.
  bool run_completions_until(const std::function<bool()>& ended, TimePoint deadline);

  [[nodiscard]] bool closed() const noexcept override { return closed_ || close_asked_; }
  // Ends the loop: now, or, asked for by one of its own callbacks, when that has returned.
  void close() noexcept;

 private:
  struct Spawned;
  class Delivering;
  class Driving;

  void turn(bool may_sleep);
  void close_now() noexcept;
  void handle_engine_error(int error);
  void pause() noexcept;
  void run_due();
  void drain_completions();
  void run_timers();
  void take_handed_back();
  void run_inbox();
  void run_deferred();
  [[nodiscard]] bool has_work() const noexcept;
  bool busy_poll();
  [[nodiscard]] bool pure_poll() const noexcept;
  bool try_enter_interrupt_mode() noexcept;
  bool pollers_enter_interrupt_mode() noexcept;
  void exit_interrupt_mode() noexcept;
  void run_pollers();
  void sleep();
  bool skip_to_next_timer();
  void arm_doorbell();
  void wake_if_driven_from_outside() noexcept;
  void begin_turns(const char* verb);
  void end_turns();
  void spawned_ended(std::list<Spawned>::iterator spawned) noexcept;

  const std::thread::id thread_ = std::this_thread::get_id();
  const std::uint64_t generation_ = process_generation();
  const std::unique_ptr<Engine> engine_;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  const std::shared_ptr<VirtualTime> time_;
  TimerQueue timers_;
  TimePoint turn_time_ = now();  // what is due in a turn is decided by one reading
  IntrusiveQueue<Deferred> reports_;
  IntrusiveQueue<Deferred> deferred_;
  IntrusiveQueue<Deferred> posted_;
  IntrusiveQueue<Deliverable> handed_back_;
  IntrusiveQueue<Deliverable> deliveries_;
  bool more_deliveries_ = false;  // behind the one that runs
  SubmissionClock submission_clock_;
  std::vector<std::shared_ptr<Coalesced>> coalesced_;
  LoopClients clients_;
  std::list<Spawned> spawned_;
  std::list<Spawned> ended_;
  OperationId doorbell_ = 0;
  PollerList pollers_;
  TurnEndList turn_ends_;
  BusyPoll busy_poll_;
  std::optional<WakeSet> wake_set_;  // once somebody has asked for poll_fd()
  int shortages_ = 0;                // in a row, of what the kernel needs for the engine
  bool stop_behind_posts_ = false;   // takes effect when those have run that came before it
  bool stop_requested_ = false;
  bool turning_ = false;
  bool close_asked_ = false;  // while a callback runs
  bool closed_ = false;
};

}  // namespace leasepool::detail
