// What a manager tells of itself.
#include <algorithm>
#include <span>

#include "base/clock.hpp"
#include "lease/duration_summary.hpp"
#include "lease/manager_core.hpp"

namespace leasepool::detail {

namespace {

// Says of the calls of a pool's lease which of its workers runs them.
void add_workers(LeaseStats& lease, std::span<const WorkerStats> workers) {
  for (RunningCall& call : lease.running) {
    const auto runs_it = [&](const WorkerStats& w) { return w.running && w.running->call_id == call.call_id; };
    if (const auto worker = std::ranges::find_if(workers, runs_it); worker != workers.end()) {
      call.pid = worker->pid;
      call.worker_id = worker->worker_id;
    }
  }
}

}  // namespace

ManagerStats ManagerCore::stats() {
  ManagerStats stats{.manager = options_.name_prefix,
                     .backend = options_.backend,
                     .started = running(),
                     .stopping = phase_ == Phase::stopping,
                     .desired = desired(),
                     .available = available(),
                     .leased = leased(),
                     .starting = starting_pools(),
                     .total = total(),
                     .max_pools = options_.max_pools,
                     .min_pools = options_.min_pools,
                     .workers_per_pool = options_.workers_per_pool,
                     .acquired = acquired_,
                     .acquires_timed_out = acquires_timed_out_,
                     .acquires_failed = acquires_failed_,
                     .leases_expired = leases_expired_,
                     .leases_revoked = leases_revoked_,
                     .calls_completed = call_stats_->completed,
                     .calls_failed = call_stats_->failed,
                     .calls_failed_by = call_stats_->failures_by_code(),
                     .workers_started = pool_totals_->workers_started,
                     .workers_crashed = pool_totals_->workers_crashed,
                     .workers_killed = pool_totals_->workers_killed,
                     .workers_recycled = pool_totals_->workers_recycled,
                     .spare_workers = pool_totals_->spare_workers,
                     .log_lines = pool_totals_->log->lines,
                     .log_lines_dropped = pool_totals_->log->dropped,
                     .last_replacement_time = pool_totals_->last_replacement_time,
                     .worker_kill_scope = pool_totals_->kill_scope,
                     .acquire_wait = summary_of(acquire_wait_),
                     .call_wait = summary_of(call_stats_->wait),
                     .call_run = summary_of(call_stats_->run),
                     .sandbox = pool_totals_->sandbox,
                     .worker_memory_bound = pool_totals_->memory_bound};
  const TimePoint now = scheduler_->now();
  stats.leases.reserve(leased_);
  for (const PoolSlot& slot : pools_) {
    const std::size_t before = stats.workers.size();
    slot.pool->add_workers(stats.workers);
    if (!slot.lease) continue;
    stats.leases.push_back(slot.lease->stats(now));
    add_workers(stats.leases.back(), std::span(stats.workers).subspan(before));
  }
  for (const PoolSlot& slot : retired_) slot.pool->add_workers(stats.workers);
  std::ranges::sort(stats.leases, {}, &LeaseStats::lease_id);
  stats.waiters.reserve(waiters_.size());
  for (const auto& [id, waiter] : waiters_.all()) {
    const auto& timeout = waiter.request.timeout;
    stats.waiters.push_back(
        {.owner = waiter.request.owner,
         .age = now - waiter.since,
         .until_timeout = timeout ? until(deadline_after(waiter.since, *timeout), now) : Duration::max()});
  }
  source_->add_to(stats);
  return stats;
}

}  // namespace leasepool::detail
