// LoopCore: the event loop behind Loop. One turn is: submit and wait, then everything that became due, each kind once:
// completions, timers, posts of other threads, deferred callbacks. Completion handlers are the library's own; what
// belongs to the caller runs deferred, so never while completions are handled and never inside the call that started
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/adaptive_spin.hpp"
#include "base/clock.hpp"
#include "base/intrusive_queue.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/loop.hpp"
#include "loop/inbox.hpp"
#include "loop/poller.hpp"
#include "loop/ring.hpp"
#include "loop/scheduler.hpp"
#include "loop/timer_queue.hpp"
#include "loop/wake_set.hpp"

namespace leasepool::detail {

// Something that lives on the loop and must end with it.
class LoopClient {
 public:
  // The loop is being destroyed: end everything that is in flight, now. Still on the loop's thread; no callback of the
  // caller's runs any more.
  virtual void loop_closing() noexcept = 0;

 protected:
  ~LoopClient() = default;
};

// Loop thread only, but for post(), on_thread(), inbox() and request_stop(). Held by Loop and by whatever may outlive
// it; after close() it is inert: nothing runs, and what is added is dropped.
class LoopCore final : public Scheduler, public std::enable_shared_from_this<LoopCore> {
 public:
  explicit LoopCore(Ring::Limits limits = {});
  LoopCore(const LoopCore&) = delete;
  LoopCore& operator=(const LoopCore&) = delete;
  ~LoopCore();

  [[nodiscard]] TimePoint now() const noexcept override { return monotonic_now(); }
  // When this turn began, for what came before that.
  [[nodiscard]] TimePoint turn_time() const noexcept { return turn_time_; }
  TimerId call_at(TimePoint deadline, Handler handler) override;
  bool cancel_timer(TimerId id) override;
  void defer(Handler handler) override;
  void report(Handler handler) override;
  void deliver(std::unique_ptr<Job> job) override;
  // What is posted may be what ends the loop, before this has returned: so the inbox is held.
  void expect(Duration spin) override;
  void came(Duration spin) override;
  void woke_worker() override { woke_worker_ = true; }
  [[nodiscard]] bool hold(const std::shared_ptr<HeldWork>& work) override;
  void post(Handler handler) override { std::shared_ptr(inbox_)->post(std::move(handler)); }
  [[nodiscard]] bool on_thread() const noexcept override { return thread_ == std::this_thread::get_id(); }

  // Throws wrong_thread, naming the verb.
  void check_thread(const char* verb) const;

  // For starting operations: outside of a turn, it sees to it that they are submitted.
  [[nodiscard]] Ring& ring() noexcept {
    wake_if_driven_from_outside();
    return ring_;
  }
  [[nodiscard]] const Ring& ring() const noexcept { return ring_; }
  [[nodiscard]] const std::shared_ptr<Inbox>& inbox() const noexcept { return inbox_; }

  // Looks at what does not come through the ring, from now on or no more.
  void watch(Poller& poller) { pollers_.push_back(&poller); }
  void unwatch(Poller& poller) noexcept;

  void attach(LoopClient& client) { clients_.push_back(&client); }
  void detach(LoopClient& client) noexcept { clients_.remove(&client); }

  void spawn(Task<> task);
  // Runs `begin` as the first thing of a turn, then turns until `ended`.
  void run_until(const bool& ended, Handler begin);
  void run_until_stopped();
  void request_stop();
  void dispatch();
  // Readable when dispatch() has something to do; from the first call on, which may throw std::system_error.
  [[nodiscard]] int poll_fd();

  // For destructors that must not return before something has ended: handles completions, and nothing of the caller's,
  // until `ended` or the deadline. Gives whether it ended.
  bool settle(const std::function<bool()>& ended, TimePoint deadline);

  [[nodiscard]] bool closed() const noexcept override { return closed_; }
  void close() noexcept;

 private:
  struct Spawned;
  class Turning;
  class Delivering;
  class Driving;

  void turn(bool may_sleep);
  void run_due();
  void catch_up();
  void run_timers();
  void run_finished_jobs();
  void run_inbox();
  void run_deferred();
  [[nodiscard]] bool has_work() const noexcept;
  bool comes_soon();
  [[nodiscard]] bool pollers_ready() const noexcept;
  bool prepare_sleep() noexcept;
  void awake() noexcept;
  void run_pollers();
  void sleep();
  void arm_doorbell();
  void wake_if_driven_from_outside() noexcept;
  void begin_turns(const char* verb);
  void end_turns();
  void spawned_ended(std::list<Spawned>::iterator spawned) noexcept;

  const std::thread::id thread_ = std::this_thread::get_id();
  Ring ring_;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  TimerQueue timers_;
  TimePoint turn_time_ = monotonic_now();  // what is due in a turn is decided by one reading
  IntrusiveQueue<PostedFunction> reports_;
  IntrusiveQueue<PostedFunction> deferred_;
  IntrusiveQueue<PostedFunction> posted_;
  IntrusiveQueue<Job> arrived_;
  IntrusiveQueue<Job> deliveries_;
  bool more_deliveries_ = false;  // behind the one that runs
  std::vector<std::shared_ptr<HeldWork>> held_;
  std::list<LoopClient*> clients_;
  std::list<Spawned> spawned_;
  std::list<Spawned> ended_;
  OperationId doorbell_ = 0;
  std::vector<Poller*> pollers_;  // null where one was taken out while they run
  std::size_t expected_ = 0;      // completions that are worth looking for
  AdaptiveSpin spin_{Duration::zero()};
  bool woke_worker_ = false;                // since it last slept
  TimePoint may_wait_awake_for_wake_up_{};  // from then on again
  std::optional<WakeSet> wake_set_;         // once somebody has asked for poll_fd()
  bool stop_requested_ = false;
  bool turning_ = false;
  bool closed_ = false;
};

}  // namespace leasepool::detail
