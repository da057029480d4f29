// ManagerCore: grants pools as leases, keeps waiters in order, revokes what expires, and resizes. It sees pools and
// time through interfaces only, so a simulation can run it. Its life is in manager_core.cpp and manager_end.cpp, leases
// and waiters in grants.cpp.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <new>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.hpp"
#include "base/log.hpp"
#include "base/trace_file.hpp"
#include "lease/lease_record.hpp"
#include "lease/waiter_queue.hpp"
#include "leasepool/manager.hpp"
#include "loop/deferred.hpp"
#include "loop/kept_timer.hpp"
#include "loop/loop_client.hpp"
#include "loop/loop_report.hpp"
#include "loop/scheduler.hpp"
#include "pool/pool.hpp"
#include "pool/pool_source.hpp"

namespace leasepool::detail {

// A pool of a manager:
//
//   phase    | what it is                           | and then
//   ---------|--------------------------------------|---------------------------------------------------
//   starting | its workers are being made           | idle; leaving; or nothing is left, where that failed
//   idle     | it can be lent                       | lent; leaving
//   lent     | a lease has it                       | idle, when the lease has drained; leaving
//   leaving  | it closes, or is about to be closed  |
enum class PoolPhase { starting, idle, lent, leaving };

[[nodiscard]] constexpr bool may_follow(PoolPhase phase, PoolPhase next) noexcept {
  switch (phase) {
    case PoolPhase::starting: return next == PoolPhase::idle || next == PoolPhase::leaving;
    case PoolPhase::idle: return next == PoolPhase::lent || next == PoolPhase::leaving;
    case PoolPhase::lent: return next == PoolPhase::idle || next == PoolPhase::leaving;
    case PoolPhase::leaving: return false;
  }
  return false;
}

struct PoolSlot {
  PoolPhase phase = PoolPhase::starting;
  std::shared_ptr<Pool> pool{};
  std::shared_ptr<LeaseRecord> lease{};  // null while it is not lent; on its way out, the one whose calls may still run
  std::list<PoolSlot>::iterator place{};
  TraceRow trace_row{};
  std::move_only_function<void()> closed{};  // for the pool's close(), made beforehand, as that takes no memory

  void enter(PoolPhase next) noexcept {
    check(may_follow(phase, next), "a pool starts, is idle or lent, and leaves, in this order");
    phase = next;
  }
};

// Loop thread only, but for notify_scale_changed(). Shared with the callbacks that are on their way to it.
class ManagerCore final : public LeaseObserver, public LoopClient, public std::enable_shared_from_this<ManagerCore> {
 public:
  ManagerCore(std::shared_ptr<Scheduler> scheduler, ManagerOptions options, std::shared_ptr<PoolSource> pools);
  ManagerCore(std::shared_ptr<Scheduler> scheduler, ManagerOptions options, PoolFactory make_pool)
      : ManagerCore(std::move(scheduler), std::move(options), std::make_shared<LocalPools>(std::move(make_pool))) {}
  ManagerCore(const ManagerCore&) = delete;
  ManagerCore& operator=(const ManagerCore&) = delete;
  ~ManagerCore() override;

  void start(DoneCallback done);
  void stop(DoneCallback done);

  // The id by which the caller may leave the queue; 0 when its callback is on its way already. Throws std::bad_alloc,
  // and then the callback is not called. So do start() and stop().
  // Once a stop is requested of the token, by any thread, the callback hears that it was cancelled.
  std::uint64_t acquire(AcquireRequest request, AcquireCallback callback, const std::stop_token& stop = {});
  void leave_queue(std::uint64_t waiter_id);
  void cancel_waiter(std::uint64_t waiter_id);

  void notify_scale_changed();

  // The handle is destroyed: everything in flight fails, and no worker is left when this returns, but for threads that
  // did not end within stop_timeout.
  void shut_down() noexcept;

  [[nodiscard]] std::size_t desired() const noexcept { return running() ? target_ : 0; }
  [[nodiscard]] std::size_t available() const noexcept { return running() ? idle_.size() : 0; }
  [[nodiscard]] std::size_t leased() const noexcept { return leased_; }
  [[nodiscard]] std::size_t total() const noexcept { return running() ? pools_.size() : 0; }
  [[nodiscard]] ManagerStats stats();

  // For tests: looks through all pools and leases, between two callbacks.
  void check_consistency() const noexcept;

  [[nodiscard]] const ManagerOptions& options() const noexcept { return options_; }
  [[nodiscard]] Scheduler& scheduler() const noexcept { return *scheduler_; }

 private:
  // In this order, and from starting to stopping where it fails or is stopped; shut_down() ends each.
  enum class Phase { stopped, starting, running, stopping };
  using Slot = std::list<PoolSlot>::iterator;

  // Life.
  void enter(Phase next) noexcept;
  [[nodiscard]] bool running() const noexcept { return phase_ == Phase::running; }
  [[nodiscard]] std::size_t target();
  [[nodiscard]] std::size_t starting_pools() const noexcept;
  void begin_start();
  void source_opened(const Result<void>& result);
  [[nodiscard]] bool add_pool();
  void keep_timers();
  [[nodiscard]] std::shared_ptr<Pool> make_named_pool(const std::string& name, Slot slot);
  void start_pool(Slot slot);
  void pool_started(Slot slot, const Result<void>& result);
  void start_finished();
  void start_failed(const Error& error);
  void pool_failed_to_start(const Error& error);
  void pool_lost(Slot slot, const Error& why);
  void resize();
  void fill();
  void resize_soon() noexcept;
  void resize_now();
  void retire_surplus();
  void withdraw_surplus() noexcept;
  void arm_check_timer();
  void make_idle(Slot slot) noexcept;
  void retire(Slot slot);
  void end_lending(PoolSlot& slot) noexcept;
  void pool_closed(Slot slot);
  void begin_stop();
  void stop_timed_out();
  void finish_stop_if_empty();
  void orphan(LeaseRecord& record);
  void loop_closing() noexcept override { shut_down(); }
  void add_to(LoopReport& report) override { report.managers.push_back(stats()); }
  // The sink is the caller's, and is called as all of the caller's own is: later. A line for which there is no memory
  // is counted as dropped.
  template <class MakeText>
  void log(LogLevel level, MakeText make_text) noexcept {
    try {
      const std::string line = options_.name_prefix + ": " + make_text();
      log_->push(
          {.time = std::chrono::system_clock::now(), .level = level, .text = line, .pool = options_.name_prefix});
    } catch (const std::bad_alloc&) {
      log_->count_dropped(1, options_.name_prefix);
    }
  }
  [[nodiscard]] LogSink log_sink() const;
  void log_abandoned(const LeaseRecord& lease, const char* by) noexcept;

  // The trace, where there is one: in manager_trace.cpp.
  [[nodiscard]] Result<void> open_trace();
  void trace_grant(const LeaseRecord& lease, TimePoint asked) noexcept;
  void trace_lease(const LeaseRecord& lease, std::string_view what) noexcept;
  void trace_lease_end(const LeaseRecord& lease) noexcept;

  // Leases and waiters.
  void lease_released(LeaseRecord& record) override;
  void lease_drained(LeaseRecord& record) override;
  void extend_lease(LeaseRecord& record, Duration duration) override;
  void serve_waiters() noexcept;
  using AcquireNotice = std::unique_ptr<Notice<ExecutorLease>>;
  [[nodiscard]] std::uint64_t new_lease_id() noexcept;
  void grant(AcquireRequest& request, AcquireNotice& notice, TimePoint asked, TimePoint now);
  [[nodiscard]] std::optional<Error> refusal(const AcquireRequest& request) const noexcept;
  void add_pools_for_waiters();
  void refuse(AcquireNotice notice, const Error& error) noexcept;
  void refuse_waiter(Waiter waiter, const Error& error) noexcept;
  void refuse_waiting(Waiter waiter, const Error& reason) noexcept;
  void fail_waiters(const Error& reason) noexcept;
  void waiter_timed_out(std::uint64_t waiter_id);
  void none_free(std::size_t coming) noexcept;
  [[nodiscard]] Error late(const AcquireRequest& request) noexcept;
  [[nodiscard]] Error none_at_once(const AcquireRequest& request) const noexcept;
  // Who has a lease and for how long, the oldest first, and at most so many of them.
  [[nodiscard]] std::string holders(std::size_t most) const;
  void set_deadlines(LeaseRecord& record, TimePoint from, Duration duration);
  void soft_expired(LeaseRecord& record);
  void revoke(LeaseRecord& record);
  void return_pool(Slot slot);

  const std::shared_ptr<Scheduler> scheduler_;
  const ManagerOptions options_;
  const std::shared_ptr<PoolSource> source_;
  const std::shared_ptr<CallStats> call_stats_;
  const std::shared_ptr<PoolTotals> pool_totals_ = std::make_shared<PoolTotals>();
  Phase phase_ = Phase::stopped;
  std::list<PoolSlot> pools_;
  std::vector<Slot> idle_;  // has room for all; the pool that came back last is lent next: it is warm
  std::size_t leased_ = 0;
  std::list<PoolSlot> retired_;
  WaiterQueue waiters_;
  DoneNotices start_callbacks_;
  DoneNotices stop_callbacks_;
  DoneNotices failed_starts_;
  std::optional<Error> start_error_;  // while what a failed start made is being closed
  std::size_t target_ = 0;            // as of the last resize
  KeptTimer check_timer_;             // these keep their places from the start to the end of the stop
  KeptTimer stop_timer_;
  bool shut_down_ = false;
  bool size_provider_failed_ = false;
  std::uint64_t pools_made_ = 0;
  std::uint64_t next_lease_id_ = 0;
  std::uint64_t lease_ids_left_ = 0;  // from the next on, that no other manager has
  std::uint64_t acquired_ = 0;
  std::uint64_t acquires_timed_out_ = 0;
  std::uint64_t acquires_failed_ = 0;
  std::uint64_t leases_expired_ = 0;
  std::uint64_t leases_revoked_ = 0;
  Histogram acquire_wait_;
  const std::shared_ptr<ClosableSink> sink_;  // of all its pools
  const std::shared_ptr<LogQueue> log_;
  DeferredMember<ManagerCore, &ManagerCore::resize_now> resizes_;
};

}  // namespace leasepool::detail
