// LeaseRecord: one lease as the library knows it: its pool, its deadlines, and its calls in flight.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/intrusive_queue.hpp"
#include "base/trace_file.hpp"
#include "lease/call_table.hpp"
#include "lease/cancellation_group.hpp"
#include "lease/spare_holds.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/histogram.hpp"
#include "leasepool/lease.hpp"
#include "leasepool/manager.hpp"
#include "leasepool/stats.hpp"
#include "loop/deferred.hpp"
#include "loop/scheduler.hpp"
#include "pool/pool.hpp"

namespace leasepool::detail {

enum class LeaseState {
  active,
  released,  // draining: no new calls, those in flight end
  revoked,   // its hard expiry passed
  lost,      // its pool was, with the machine that it was on
  orphaned,  // its manager stopped or is gone
};

// A lease that is active may come to any other state; one that was released may still be revoked, lost or orphaned.
[[nodiscard]] constexpr bool may_follow(LeaseState state, LeaseState next) noexcept {
  if (state == LeaseState::active) return next != LeaseState::active;
  return state == LeaseState::released && next != LeaseState::active && next != LeaseState::released;
}

struct PoolSlot;

// What the manager counts over all leases, and its limits on each. Its pools keep it, so that a lease does by keeping
// its pool. Not the loop: what is under way on that keeps pools.
struct CallStats {
  std::string manager;
  std::size_t workers_per_pool = 1;
  std::size_t max_queued_calls = 0;
  std::shared_ptr<TraceFile> trace{};  // null: none
  std::uint64_t last_call_id = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  std::array<std::uint64_t, static_cast<std::size_t>(kLastErrc) + 1> failed_by{};  // by Errc; 0: none of them
  Histogram wait;
  Histogram run;

  void count_failure(const Error& error) noexcept {
    ++failed;
    ++failed_by[static_cast<std::size_t>(errc_of(error.code()))];
  }
  [[nodiscard]] std::vector<std::pair<Errc, std::uint64_t>> failures_by_code() const {
    std::vector<std::pair<Errc, std::uint64_t>> failures;
    for (std::size_t code = 1; code < failed_by.size(); ++code) {
      if (failed_by[code] != 0) failures.emplace_back(static_cast<Errc>(code), failed_by[code]);
    }
    return failures;
  }
};

// The manager, as its leases know it. Loop thread only.
class LeaseObserver {
 public:
  // The handle was released or destroyed.
  virtual void lease_released(LeaseRecord& record) = 0;
  // Released, and its last call has ended.
  virtual void lease_drained(LeaseRecord& record) = 0;
  virtual void extend_lease(LeaseRecord& record, Duration duration) = 0;

 protected:
  ~LeaseObserver() = default;
};

// Shared by the handle, the manager and every call in flight. Loop thread only, but for what is const.
class LeaseRecord final : public JobSink, public std::enable_shared_from_this<LeaseRecord> {
 public:
  struct Grant {
    std::uint64_t id = 0;
    std::string owner;
    std::source_location where;
    TimePoint at{};
  };

  LeaseRecord(LeaseObserver& observer, std::shared_ptr<Scheduler> loop, CallStats& call_stats,
              std::shared_ptr<Pool> pool, Grant grant);
  LeaseRecord(const LeaseRecord&) = delete;
  LeaseRecord& operator=(const LeaseRecord&) = delete;
  ~LeaseRecord();

  const std::shared_ptr<Scheduler> scheduler;
  const std::uint64_t id;
  std::string owner;  // of a lease that a node gives, its manager's
  const std::source_location where;
  const TimePoint granted_at;
  TimePoint soft_expires_at{};
  TimePoint hard_expires_at{};
  TimerId expiry_timer = 0;  // the manager's
  PoolSlot* slot = nullptr;  // the same, as long as the pool is lent to it
  CancellationGroups cancellation_groups;

  // At hard expiry the callers of what still runs are told, too, where it cannot be ended.
  bool gives_up_at_expiry = false;

  // Its calls are a manager's elsewhere, which says itself whose they are.
  bool is_lent_on = false;

  TraceRow trace_row{};  // the pool's
  [[nodiscard]] const std::shared_ptr<TraceFile>& trace() const noexcept { return call_stats_->trace; }

  // Starts a call, or has it fail; its outcome is delivered later in any case.
  void submit(std::unique_ptr<Job> job, const CallSettings& settings);

  // The same for several, which may go to the workers together. Their bookings have an id, or get one, and the bound of
  // their run.
  void submit_batch(IntrusiveQueue<Job> jobs);
  [[nodiscard]] std::uint64_t new_call_id() noexcept { return ++call_stats_->last_call_id; }

  // Ends a call of a batch, on whose lease there are no others, as a stop token does: at once where it waits or can be
  // interrupted.
  void cancel_of_batch(std::uint64_t job_id, const Error& error) const;

  // The same for all calls of a group.
  void cancel_waiting(Job& job);
  void cancel_any(Job& job);

  void release();
  // The same by whoever has the handle, on any thread but the loop's.
  static void release_from_thread(std::shared_ptr<LeaseRecord> record) noexcept;
  void extend(Duration duration);

  // Takes no more calls, and says so with what the state means.
  void enter(LeaseState next) noexcept;
  [[nodiscard]] LeaseState state() const noexcept { return state_; }
  // Its pool is gone, and has ended its calls.
  void lose(const Error& why) noexcept;

  // Has it noted where what runs is, where the pool can, for the error of a later interrupt.
  void note_stacks() const;
  // Tells the callers of what still runs; the functions run on, and what they return is dropped.
  void give_up_running(const Error& error, Ended ended = Ended::are_included) noexcept;
  // The same in the loop's next turn, when it has taken in what has ended by then.
  void give_up_soon(const Error& error) noexcept;
  // Whether functions have begun and not returned, and which.
  [[nodiscard]] bool runs_something() const noexcept;
  [[nodiscard]] std::string names_of_running() const;

  [[nodiscard]] bool idle() const noexcept { return calls_.empty(); }
  [[nodiscard]] LeaseStats stats(TimePoint now) const;
  [[nodiscard]] std::string description() const;
  // Why it takes no calls; none while it does.
  [[nodiscard]] std::optional<Error> refusal() const noexcept;
  // Of a call that a function on the lease's last free worker submitted. Any thread.
  [[nodiscard]] Error self_wait(std::string_view function) const;
  [[nodiscard]] const std::shared_ptr<Pool>& pool() const noexcept { return pool_; }

  // The manager is gone: nothing is reported to it any more.
  void forget_observer() noexcept { observer_ = nullptr; }

 private:
  void job_started(std::uint64_t job_id, TimePoint started) override;
  void job_given_back(std::uint64_t job_id) override;
  void job_ended(std::unique_ptr<Job> job) override;
  [[nodiscard]] std::string_view lease_owner() const noexcept override { return owner; }
  [[nodiscard]] std::uint64_t lease_id() const noexcept override { return id; }

  [[nodiscard]] std::unique_ptr<Job> admit(std::unique_ptr<Job> job, const CallSettings& settings,
                                           TimePoint now) noexcept;
  void reserve(Job& job, const CallSettings& settings);
  void forget(Job& job) noexcept;
  void end_watches(Job& job) noexcept;
  struct Cancelled;
  [[nodiscard]] const Cancelled& cancelled(const Job& job) noexcept;
  void add_lease_context(Job& job) const noexcept;
  [[nodiscard]] std::string cancellation_text(const Job& job) const;
  void watch_cancellation(Job& job, const std::stop_token& token);
  void cancel(Job& job, const Error& not_run, const Error& error) const;
  void watch_queue(Job& job) noexcept;
  void queue_time_out(std::uint64_t job_id);
  void watch_run(Job& job, TimePoint started) noexcept;
  void run_nearly_time_out(std::uint64_t job_id);
  void run_time_out(std::uint64_t job_id);
  void hand_out(std::unique_ptr<Job> job) noexcept;
  void fail_now(std::unique_ptr<Job> job, const Error& error) noexcept;
  void queue_early_outcome(Job& job, const Error& error) noexcept;
  void deliver_early_outcomes();
  void unlink_early(Job& job) noexcept;
  void give_up_on_running();
  void count(const Job& job) noexcept;
  void trace_end(const Job& job) noexcept;

  LeaseObserver* observer_;
  const std::shared_ptr<Pool> pool_;
  CallStats* const call_stats_;
  LeaseState state_ = LeaseState::active;
  CallTable calls_;  // in flight; watched are those with a time-out
  SpareHolds spare_holds_;
  Job* first_early_ = nullptr;  // of those whose callers are to be told before they end, in order
  Job* last_early_ = nullptr;
  struct Cancelled {
    std::string function;
    Error not_run;  // where it had not begun
    Error error;
  };
  std::optional<Cancelled> cancelled_;           // the last call that its stop token cancelled
  std::weak_ptr<CancellationGroup> last_group_;  // of the last call with a stop token
  std::optional<Error> gives_up_;                // what the callers of what still runs are told next
  std::optional<Error> lost_;                    // why, in that state
  DeferredMember<LeaseRecord, &LeaseRecord::deliver_early_outcomes> tells_early_;
  DeferredMember<LeaseRecord, &LeaseRecord::give_up_on_running> gives_up_soon_;
  DeferredMember<LeaseRecord, &LeaseRecord::release> release_from_thread_;
};

}  // namespace leasepool::detail
