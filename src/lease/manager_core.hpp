// ManagerCore: grants pools as leases, keeps waiters in order, revokes what expires, and resizes. It sees pools and
// time through interfaces only, so a simulation can run it. Its life is in manager_core.cpp, leases and waiters in
// grants.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lease/lease_record.hpp"
#include "lease/waiter_queue.hpp"
#include "leasepool/manager.hpp"
#include "loop/loop_core.hpp"
#include "loop/scheduler.hpp"
#include "pool/pool.hpp"

namespace leasepool::detail {

using PoolFactory = std::function<std::shared_ptr<Pool>(PoolOptions options)>;

// A pool that is in service, or starts.
struct PoolSlot {
  std::shared_ptr<Pool> pool;
  std::shared_ptr<LeaseRecord> lease{};  // null while it is not lent
  std::list<PoolSlot>::iterator place{};
  bool ready = false;
};

// Loop thread only, but for notify_scale_changed(). Shared with the callbacks that are on their way to it.
class ManagerCore final : public LeaseKeeper, public LoopClient, public std::enable_shared_from_this<ManagerCore> {
 public:
  ManagerCore(std::shared_ptr<Scheduler> scheduler, ManagerOptions options, PoolFactory make_pool);
  ManagerCore(const ManagerCore&) = delete;
  ManagerCore& operator=(const ManagerCore&) = delete;
  ~ManagerCore();

  void start(DoneCallback done);
  void stop(DoneCallback done);

  // The id by which the caller may leave the queue; 0 when its callback is on its way already.
  std::uint64_t acquire(AcquireRequest request, AcquireCallback callback);
  void leave_queue(std::uint64_t waiter_id);

  void notify_scale_changed();

  // The handle is destroyed: everything in flight fails, and no worker is left when this returns, but for threads that
  // did not end within stop_timeout.
  void shut_down() noexcept;

  [[nodiscard]] std::size_t desired() { return running() ? target() : 0; }
  [[nodiscard]] std::size_t available() const noexcept { return running() ? idle_.size() : 0; }
  [[nodiscard]] std::size_t leased() const noexcept { return leased_; }
  [[nodiscard]] std::size_t total() const noexcept { return running() ? pools_.size() : 0; }
  [[nodiscard]] ManagerStats stats();

  [[nodiscard]] const ManagerOptions& options() const noexcept { return options_; }
  [[nodiscard]] Scheduler& scheduler() const noexcept { return *scheduler_; }

 private:
  enum class Phase { stopped, starting, running, stopping };
  using Slot = std::list<PoolSlot>::iterator;
  // A pool on its way out, with the lease whose calls may still run on it.
  struct Retired {
    std::shared_ptr<Pool> pool;
    std::shared_ptr<LeaseRecord> lease;
  };

  // Life.
  [[nodiscard]] bool running() const noexcept { return phase_ == Phase::running; }
  [[nodiscard]] std::size_t target();
  [[nodiscard]] std::size_t starting_pools() const noexcept;
  void add_pool();
  void pool_started(Slot slot, Result<void> result);
  void start_finished();
  void start_failed(const Error& error);
  void pool_failed_to_start(const Error& error);
  void resize();
  void resize_soon();
  void retire_surplus();
  void arm_check_timer();
  void retire(Slot slot);
  std::shared_ptr<LeaseRecord> take_lease(PoolSlot& slot) noexcept;
  void begin_stop();
  void stop_timed_out();
  void finish_stop_if_empty();
  void orphan(LeaseRecord& record);
  void call_all(std::vector<DoneCallback>& callbacks, const Result<void>& result);
  void loop_closing() noexcept override { shut_down(); }
  void log(LogLevel level, const std::string& text) const;
  void log_abandoned(const LeaseRecord& lease, const char* by) const;

  // Leases and waiters.
  void lease_released(LeaseRecord& record) override;
  void lease_drained(LeaseRecord& record) override;
  void extend_lease(LeaseRecord& record, Duration duration) override;
  void serve_waiters();
  void grant(AcquireRequest& request, AcquireCallback callback, TimePoint asked, TimePoint now);
  void add_pools_for_waiters();
  void refuse(AcquireCallback callback, Error error);
  void refuse_waiter(Waiter waiter, const Error& error);
  void refuse_waiting(Waiter waiter, Errc code, const std::string& reason);
  void fail_waiters(Errc code, const std::string& reason);
  void waiter_timed_out(std::uint64_t waiter_id);
  // Who has a lease and for how long, the oldest first, and at most so many of them.
  [[nodiscard]] std::string holders(std::size_t most) const;
  void set_deadlines(LeaseRecord& record, TimePoint from, Duration duration);
  void soft_expired(LeaseRecord& record);
  void revoke(LeaseRecord& record);
  void return_pool(Slot slot);

  const std::shared_ptr<Scheduler> scheduler_;
  const ManagerOptions options_;
  const PoolFactory make_pool_;
  const std::shared_ptr<CallLedger> ledger_;
  const std::shared_ptr<PoolTotals> pool_totals_ = std::make_shared<PoolTotals>();
  Phase phase_ = Phase::stopped;
  std::list<PoolSlot> pools_;
  std::vector<Slot> idle_;  // the pool that came back last is lent next: it is warm
  std::size_t leased_ = 0;
  std::list<Retired> retired_;
  WaiterQueue waiters_;
  std::vector<DoneCallback> start_callbacks_;
  std::vector<DoneCallback> stop_callbacks_;
  std::vector<DoneCallback> failed_starts_;
  std::optional<Error> start_error_;  // while what a failed start made is being closed
  std::size_t target_ = 0;            // as of the last resize
  TimerId check_timer_ = 0;
  TimerId stop_timer_ = 0;
  bool shut_down_ = false;
  bool size_provider_failed_ = false;
  std::uint64_t pools_made_ = 0;
  std::uint64_t acquired_ = 0;
  std::uint64_t acquires_timed_out_ = 0;
  std::uint64_t acquires_failed_ = 0;
  std::uint64_t leases_expired_ = 0;
  std::uint64_t leases_revoked_ = 0;
  Histogram acquire_wait_;
};

}  // namespace leasepool::detail
