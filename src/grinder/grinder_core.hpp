// GrinderCore: collects items, asks the manager for a lease for each batch that is due, runs the batch on it and waits
// for its items. Which items a batch takes is decided when its lease is there, so that what waits for capacity can
// still be cancelled, overtaken and joined. It sees time and pools through interfaces only, so a simulation can run it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/trace_file.hpp"
#include "grinder/batch.hpp"
#include "grinder/grinder_totals.hpp"
#include "lease/manager_core.hpp"
#include "leasepool/detail/batch_call.hpp"
#include "leasepool/detail/work_item.hpp"
#include "leasepool/grinder_options.hpp"
#include "leasepool/grinder_stats.hpp"
#include "loop/deferred.hpp"
#include "loop/kept_timer.hpp"
#include "loop/loop_client.hpp"
#include "loop/loop_report.hpp"
#include "loop/scheduler.hpp"
#include "loop/timed_wait.hpp"

namespace leasepool::detail {

// Loop thread only. Shared with the callbacks that are on their way to it.
class GrinderCore final : public LoopClient, public std::enable_shared_from_this<GrinderCore> {
 public:
  GrinderCore(std::shared_ptr<Scheduler> scheduler, const std::shared_ptr<ManagerCore>& manager, GrinderOptions options,
              std::source_location where);
  GrinderCore(const GrinderCore&) = delete;
  GrinderCore& operator=(const GrinderCore&) = delete;
  ~GrinderCore() override;

  // These throw std::bad_alloc, and then the callback is not called.
  void start(DoneCallback done);
  void stop(bool cancel_pending, DoneCallback done);

  // What fails, for want of memory, too, reaches the item's receiver.
  void submit(std::unique_ptr<WorkItem> item, WithoutRoom without_room);
  void cancel(ItemState& item);
  void leave_room_queue(const ItemState& item);

  // An item of this grinder has its outcome, which is about to be delivered.
  void item_ended(ItemState& item, const Error* error);

  // An item of this grinder has certainly not run, as its node was lost: it waits again, where it was in the queue.
  [[nodiscard]] bool may_put_back(const ItemState& item) const noexcept;
  // Throws std::bad_alloc, and then it is left.
  void put_back(std::unique_ptr<WorkItem>& item);

  // A call of a batch function has failed: calls it again for each half of the items. False, and they are left, if that
  // makes no sense or there is no memory.
  bool split(const BatchCall& call, WorkItems& items, const Error& error);

  // The handle is destroyed, or the loop closes: everything in flight is cancelled.
  void shut_down() noexcept;

  [[nodiscard]] GrinderStats stats() const;

  // For tests: looks through all batches, between two callbacks.
  void check_consistency() const noexcept;

  [[nodiscard]] const GrinderOptions& options() const noexcept { return options_; }
  [[nodiscard]] Scheduler& scheduler() const noexcept { return *scheduler_; }
  [[nodiscard]] ExecutorBackend backend() const noexcept { return backend_; }

  // Hands what came of an item to its receiver, later.
  void deliver(std::unique_ptr<WorkItem> item) const noexcept { scheduler_->defer(std::move(item)); }

 private:
  // In this order, round and round; shut_down() ends each.
  enum class Phase { stopped, running, stopping };
  using Items = BatchQueue<std::unique_ptr<WorkItem>>;
  struct Batch {
    ExecutorLease lease;
    std::size_t items = 0;       // that have not ended
    std::uint64_t trace_id = 0;  // where there is a trace
  };

  // Life.
  void enter(Phase next) noexcept;
  void begin_stop();
  void keep_timers();
  void disarm_timers() noexcept;
  void cancel_everything(std::string_view reason);
  void stop_timed_out();
  void cancel_batch(Batch& batch, const Error& error) const;
  void finish_stop_if_empty();
  void loop_closing() noexcept override { shut_down(); }
  void add_to(LoopReport& report) override { report.grinders.push_back(stats()); }

  // Items.
  void refuse(std::unique_ptr<WorkItem> item, const Error& error) noexcept;
  [[nodiscard]] Error not_running(const WorkItem& item) const noexcept;
  [[nodiscard]] Error no_room(const WorkItem& item) const noexcept;
  void refuse_without_room(std::unique_ptr<WorkItem> item) noexcept;
  void wait_for_room(std::unique_ptr<WorkItem> item) noexcept;
  void queue(std::unique_ptr<WorkItem> item) noexcept;
  void fail_waiting(std::unique_ptr<WorkItem> item, const Error& error) noexcept;
  void admit_who_waits_for_room();
  [[nodiscard]] std::string describe(const WorkItem& item) const;

  // Batches.
  void pump();
  [[nodiscard]] bool ask_for_what_is_due();
  [[nodiscard]] bool ask_for_lease();
  void withdraw_request();
  void lease_granted(std::uint64_t batch_id, Result<ExecutorLease> lease);
  void fail_batch(const Error& error) noexcept;
  // Returns why.
  std::string_view count_flush(std::size_t size);
  void trace_begin(Batch& batch, std::uint64_t batch_id, std::string_view why) noexcept;
  void trace_end(const Batch& batch) const noexcept;
  void begin_batch(std::uint64_t batch_id, ExecutorLease lease);
  void run_on(Batch& batch, std::uint64_t batch_id, WorkItems items);
  [[nodiscard]] std::unique_ptr<Job> bind_group(std::uint64_t batch_id, WorkItems& items, std::size_t first) noexcept;
  void arm_age_limit(TimePoint now);
  void end_empty_batches();

  const std::shared_ptr<Scheduler> scheduler_;
  const std::weak_ptr<ManagerCore> manager_;
  const ExecutorBackend backend_;
  const GrinderOptions options_;  // with max_inflight_batches as it is in force
  const std::source_location where_;
  Phase phase_ = Phase::stopped;
  bool shut_down_ = false;
  Items items_;
  std::map<std::uint64_t, std::unique_ptr<WorkItem>> without_room_;  // oldest first
  std::uint64_t last_without_room_ = 0;
  std::map<std::uint64_t, std::uint64_t> requests_;  // batches that wait for a lease, and the manager's waiters
  std::unordered_map<std::uint64_t, Batch> batches_;
  std::uint64_t last_batch_ = 0;
  std::unique_ptr<TimedWait> age_limit_;  // of the batch that collects; there from the start to the end of the stop,
  KeptTimer stop_timer_;                  // as is this one's place
  DoneNotices stop_callbacks_;
  DoneNotices start_callbacks_;  // asked for while it stops
  GrinderTotals totals_;
  std::shared_ptr<TraceFile> trace_;  // once a batch has begun, the manager's
  TraceRow trace_row_{};
  bool has_empty_batches_ = false;  // all of whose items were put back
  DeferredMember<GrinderCore, &GrinderCore::end_empty_batches> ends_empty_batches_;
};

}  // namespace leasepool::detail
