// Dispatcher: which worker gets which call. It makes no system call and knows no descriptor: workers stand behind
// ports, and the time comes from a Scheduler. tests/sim/dispatcher_sim_test.cpp drives it in random sequences.
//
// A call goes to an idle worker, the one that finished last first. Where none is idle it is prefetched, up to the
// worker's credit: a call of a batch in any case, others behind calls that are done sooner than going back and forth
// takes. What turns out to wait behind a slow call is recalled when a worker has nothing to do.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "base/intrusive_queue.hpp"
#include "leasepool/detail/job.hpp"
#include "loop/kept_timer.hpp"
#include "loop/scheduler.hpp"
#include "pool/submit_coalescer.hpp"
#include "pool/worker_port.hpp"

namespace leasepool::detail {

// Loop thread only. Takes no memory but in reserve(). Workers outlive their time here.
class Dispatcher final : public Coalesced, public std::enable_shared_from_this<Dispatcher> {
 public:
  explicit Dispatcher(Scheduler& scheduler) noexcept : scheduler_(scheduler) {}

  // Takes the memory for so many workers. Throws std::bad_alloc.
  void reserve(std::size_t workers);

  // A worker serves from now on, idle; and no more, whatever it has: what it has not begun is recalled with it.
  void join(WorkerPort& worker) noexcept;
  void leave(WorkerPort& worker) noexcept;
  [[nodiscard]] bool serves(const WorkerPort& worker) const noexcept;
  [[nodiscard]] std::size_t workers() const noexcept { return workers_.size(); }
  [[nodiscard]] std::size_t idle_workers() const noexcept { return idle_.size(); }

  // Submits a job, or several that go to the workers together.
  void submit(std::unique_ptr<Job> job);
  void submit_batch(IntrusiveQueue<Job> jobs);

  // A worker has answered a call: it has begun the next of its line, or is idle, and serves on. dispatch() follows.
  void answered(WorkerPort& worker);
  void became_idle(WorkerPort& worker) noexcept;

  // Hands over what can be handed over.
  void dispatch();
  void flush() override { dispatch(); }

  // Ends a job that no worker has begun; false when one has.
  bool withdraw(Job& job, const Error& error);

  // Puts what a worker has not begun at the head of the queue: all that it gives back, or one job that it left behind.
  void recall_from(WorkerPort& worker);
  void requeue_front(std::unique_ptr<Job> job);

  // Ends what no worker has begun, the oldest first.
  void end_waiting(const Error& error);

  // From now on hands nothing over: what waits ends with the error, and so does what is submitted or recalled. The
  // first error stays.
  void refuse(const Error& error);

  // Ends its timer. It has no jobs and no workers then.
  void close() noexcept;

  // For tests: looks through all workers, between two callbacks.
  void check_consistency() const noexcept;

 private:
  void enqueue(std::unique_ptr<Job> job) noexcept;
  bool send_front_to(WorkerPort& worker);
  [[nodiscard]] bool is_overdue(const WorkerPort& worker) const;
  [[nodiscard]] WorkerPort* preferred_awake_worker() const;
  void prefetch();
  [[nodiscard]] WorkerPort* next_with_credit(const Job& job) noexcept;
  void steal_from_busiest();
  void watch_for_stragglers();
  void recall_from_stragglers();
  void disarm_recall_timer() noexcept;

  Scheduler& scheduler_;
  SubmitCoalescer coalescer_{scheduler_};
  IntrusiveQueue<Job> queue_;
  std::vector<WorkerPort*> workers_;     // in the order in which they joined
  std::vector<WorkerPort*> idle_;        // the one that finished last is the next to be used
  std::vector<WorkerPort*> unflushed_;   // that have been queued jobs in this dispatch
  WorkerPort* last_used_ = nullptr;      // null once it has left
  bool prefetched_ = false;              // calls may wait behind others
  bool prefetched_behind_slow_ = false;  // that are not quick
  KeptTimer recall_timer_{scheduler_};   // while calls wait behind quick ones, and a worker has nothing to do
  bool no_credit_ = false;               // no busy worker takes more for now
  std::size_t next_to_prefetch_ = 0;     // the place of the last worker for which a call was prefetched
  std::optional<Error> refusal_;
};

}  // namespace leasepool::detail
