// The life of a manager: start, resize, stop, and the end.
#include "lease/manager_core.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "lease/duration_summary.hpp"
#include "lease/text.hpp"

namespace leasepool::detail {

ManagerCore::ManagerCore(std::shared_ptr<Scheduler> scheduler, ManagerOptions options, PoolFactory make_pool)
    : scheduler_(std::move(scheduler)),
      options_(std::move(options)),
      make_pool_(std::move(make_pool)),
      ledger_(std::make_shared<CallLedger>()) {
  ledger_->manager = options_.name_prefix;
  ledger_->workers_per_pool = options_.workers_per_pool;
  ledger_->max_queued_calls = options_.max_queued_calls;
}

ManagerCore::~ManagerCore() {
  check(pools_.empty() && retired_.empty(), "a manager is shut down before it is destroyed");
}

void ManagerCore::start(DoneCallback done) {
  if (running()) return scheduler_->defer([done = std::move(done)]() mutable { done({}); });
  start_callbacks_.push_back(std::move(done));
  if (phase_ != Phase::stopped) return;  // it starts already, or will when it has stopped
  phase_ = Phase::starting;
  target_ = target();
  while (phase_ == Phase::starting && pools_.size() < target_) add_pool();
}

void ManagerCore::add_pool() {
  const auto slot = pools_.emplace(pools_.end());
  slot->place = slot;
  slot->pool = make_pool_({.name = options_.name_prefix + "-" + std::to_string(++pools_made_),
                           .workers = options_.workers_per_pool,
                           .max_payload = options_.max_payload,
                           .spin = options_.spin,
                           .shared_memory = options_.shared_memory,
                           .worker_start_timeout = options_.worker_start_timeout,
                           .max_calls_per_worker = options_.max_calls_per_worker,
                           .max_worker_age = options_.max_worker_age,
                           .max_worker_rss = options_.max_worker_rss,
                           .limits = options_.worker_limits,
                           .initializer = options_.initializer,
                           .worker_cgroup = options_.worker_cgroup,
                           .sandbox = options_.sandbox,
                           .log = options_.log,
                           .totals = pool_totals_});
  slot->pool->start([weak = weak_from_this(), slot](Result<void> result) {
    const auto self = weak.lock();
    if (self && !self->shut_down_) self->pool_started(slot, std::move(result));
  });
}

void ManagerCore::pool_started(Slot slot, Result<void> result) {
  if (!result) {
    pools_.erase(slot);
    return phase_ == Phase::starting ? start_failed(result.error()) : pool_failed_to_start(result.error());
  }
  slot->ready = true;
  idle_.push_back(slot);
  if (phase_ == Phase::starting) {
    if (starting_pools() == 0) start_finished();
  } else {
    serve_waiters();
    retire_surplus();
  }
}

// Those that are neither idle nor lent.
std::size_t ManagerCore::starting_pools() const noexcept { return pools_.size() - idle_.size() - leased_; }

void ManagerCore::start_finished() {
  phase_ = Phase::running;
  arm_check_timer();
  call_all(start_callbacks_, {});
}

// Told when nothing is left of what the start had made.
void ManagerCore::start_failed(const Error& error) {
  start_error_ = error;
  failed_starts_ = std::exchange(start_callbacks_, {});
  begin_stop();
}

// A pool that was wanted while running. Waiters go on waiting as long as there is another pool to wait for.
void ManagerCore::pool_failed_to_start(const Error& error) {
  log(LogLevel::warning, "a pool cannot be started: " + error.message());
  if (pools_.empty()) {
    fail_waiters(Errc::pool_broken, error.message());
  } else {
    const std::size_t coming = starting_pools();
    std::size_t position = waiters_.size();
    for (auto waiter = waiters_.all().end(); position > coming; --position) {  // the last to come lose first
      const auto last = std::prev(waiter);
      if (last->second.request.wait) {
        waiter = last;
      } else {
        refuse_waiting(waiters_.remove(last->first), Errc::pool_broken, error.message());
      }
    }
  }
  arm_check_timer();  // tries again
}

std::size_t ManagerCore::target() {
  std::size_t units = 0;
  if (options_.size_provider) {
    try {
      units = options_.size_provider();
    } catch (...) {
      if (!std::exchange(size_provider_failed_, true)) {
        log(LogLevel::warning,
            "size_provider threw and counts as 0 from now on whenever it does: " + describe_current_exception());
      }
    }
  }
  const std::size_t wanted = units / options_.units_per_pool + (units % options_.units_per_pool != 0 ? 1 : 0);
  return std::min(options_.max_pools, std::max(options_.min_pools, wanted));
}

void ManagerCore::notify_scale_changed() {
  scheduler_->post([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && self->running()) self->resize();
  });
}

void ManagerCore::resize() {
  target_ = target();
  if (!running()) return;  // the size_provider stopped it
  retire_surplus();
  while (pools_.size() < target_) add_pool();
  add_pools_for_waiters();
  arm_check_timer();
}

// In this turn, but behind what is delivered in it: making workers takes a while, and callers are to hear of a deadline
// at once.
void ManagerCore::resize_soon() {
  scheduler_->defer([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && self->running()) self->resize();
  });
}

void ManagerCore::retire_surplus() {
  while (pools_.size() > target_ && !idle_.empty()) retire(idle_.front());
}

// Without a size_provider nothing changes by itself, but for a pool that could not be made: for the target, or for who
// waits.
void ManagerCore::arm_check_timer() {
  scheduler_->cancel_timer(std::exchange(check_timer_, 0));
  const bool waiter_lacks_pool = pools_.size() < options_.max_pools && waiters_.size() > starting_pools();
  if (!options_.size_provider && pools_.size() >= target_ && !waiter_lacks_pool) return;
  check_timer_ =
      scheduler_->call_at(deadline_after(scheduler_->now(), options_.check_interval), [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self || !self->running()) return;
        self->check_timer_ = 0;
        self->resize();
      });
}

// The pool is not lent any more.
std::shared_ptr<LeaseRecord> ManagerCore::take_lease(PoolSlot& slot) noexcept {
  if (slot.lease) {
    slot.lease->slot = nullptr;
    --leased_;
  }
  return std::move(slot.lease);
}

void ManagerCore::retire(Slot slot) {
  std::erase(idle_, slot);
  const auto retired = retired_.insert(retired_.end(), {.pool = std::move(slot->pool), .lease = take_lease(*slot)});
  pools_.erase(slot);
  retired->pool->close([weak = weak_from_this(), retired] {
    const auto self = weak.lock();
    if (!self || self->shut_down_) return;
    self->retired_.erase(retired);
    self->finish_stop_if_empty();
  });
}

void ManagerCore::stop(DoneCallback done) {
  switch (phase_) {
    case Phase::stopped: return scheduler_->defer([done = std::move(done)]() mutable { done({}); });
    case Phase::stopping: return stop_callbacks_.push_back(std::move(done));
    case Phase::starting:
      stop_callbacks_.push_back(std::move(done));
      return start_failed({Errc::cancelled, options_.name_prefix + " was stopped while it started"});
    case Phase::running: stop_callbacks_.push_back(std::move(done)); return begin_stop();
  }
}

void ManagerCore::begin_stop() {
  phase_ = Phase::stopping;
  scheduler_->cancel_timer(std::exchange(check_timer_, 0));
  fail_waiters(Errc::not_started, "the manager was stopped");
  idle_.clear();
  while (!pools_.empty()) {
    const auto slot = pools_.begin();
    if (slot->lease) orphan(*slot->lease);
    retire(slot);
  }
  stop_timer_ =
      scheduler_->call_at(deadline_after(scheduler_->now(), options_.stop_timeout), [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->stop_timed_out();
      });
  finish_stop_if_empty();
}

// Takes a lease from its holder: what waits is cancelled, what runs may end.
void ManagerCore::orphan(LeaseRecord& record) {
  scheduler_->cancel_timer(std::exchange(record.expiry_timer, 0));
  record.set_state(LeaseState::orphaned);
  record.end_queued(
      {Errc::cancelled, record.description() + ": the call had not begun when the manager was stopped or destroyed"});
}

void ManagerCore::stop_timed_out() {
  stop_timer_ = 0;
  const std::string late =
      ": the call still ran when stop_timeout = " + in_words(options_.stop_timeout) + " had passed after stop()";
  for (auto retired = retired_.begin(); retired != retired_.end();) {
    const Retired current = *retired++;
    if (current.lease) {
      const Error error(Errc::cancelled, current.lease->description() + late);
      current.lease->interrupt_running(error);
      current.lease->give_up_running(error);
      log_abandoned(*current.lease, "stop");
    }
    current.pool->kill();
  }
}

// Threads cannot be killed: it names what they go on running.
void ManagerCore::log_abandoned(const LeaseRecord& lease, const char* by) const {
  const std::string names = lease.names_of_running();
  if (options_.backend != ExecutorBackend::thread || names.empty()) return;
  log(LogLevel::warning, std::string(by) + " abandons threads that still run " + names + " for " + lease.description() +
                             "; they end when the functions return");
}

void ManagerCore::finish_stop_if_empty() {
  if (phase_ != Phase::stopping || !retired_.empty()) return;
  scheduler_->cancel_timer(std::exchange(stop_timer_, 0));
  phase_ = Phase::stopped;
  if (const auto error = std::exchange(start_error_, std::nullopt)) call_all(failed_starts_, std::unexpected(*error));
  call_all(stop_callbacks_, {});
  std::vector<DoneCallback> starts = std::exchange(start_callbacks_, {});  // asked for while it stopped
  for (DoneCallback& done : starts) start(std::move(done));
}

void ManagerCore::call_all(std::vector<DoneCallback>& callbacks, const Result<void>& result) {
  std::vector<DoneCallback> taken = std::exchange(callbacks, {});
  for (DoneCallback& callback : taken) {
    scheduler_->defer([callback = std::move(callback), result]() mutable { callback(result); });
  }
}

void ManagerCore::shut_down() noexcept {
  const auto self = shared_from_this();
  shut_down_ = true;
  phase_ = Phase::stopped;
  scheduler_->cancel_timer(std::exchange(check_timer_, 0));
  scheduler_->cancel_timer(std::exchange(stop_timer_, 0));
  fail_waiters(Errc::not_started, "the manager was destroyed");
  const Error gone(Errc::cancelled, options_.name_prefix + " was destroyed before it had started");
  call_all(start_callbacks_, std::unexpected(gone));
  call_all(failed_starts_, std::unexpected(gone));
  call_all(stop_callbacks_, {});

  for (PoolSlot& slot : pools_) {
    if (slot.lease) orphan(*slot.lease);
    retired_.push_back({.pool = std::move(slot.pool), .lease = take_lease(slot)});
  }
  pools_.clear();
  idle_.clear();
  const TimePoint deadline = deadline_after(scheduler_->now(), options_.stop_timeout);
  for (const Retired& retired : std::exchange(retired_, {})) {
    if (!retired.lease) {
      retired.pool->close_now(deadline);
      continue;
    }
    const Error cancelled(Errc::cancelled,
                          retired.lease->description() + ": the call was running when the manager was destroyed");
    retired.lease->forget_keeper();
    retired.lease->interrupt_running(cancelled);
    retired.pool->close_now(deadline);
    log_abandoned(*retired.lease, "the manager's destructor");
    // Calls that ended meanwhile come with the next turn, and before what is posted now: who is left then has not.
    if (!retired.lease->idle()) {
      scheduler_->post([lease = retired.lease, cancelled] { lease->give_up_running(cancelled); });
    }
  }
}

void ManagerCore::log(LogLevel level, const std::string& text) const {
  const std::string line = options_.name_prefix + ": " + text;
  write_log(options_.log,
            {.time = std::chrono::system_clock::now(), .level = level, .text = line, .pool = options_.name_prefix});
}

ManagerStats ManagerCore::stats() {
  ManagerStats stats{.manager = options_.name_prefix,
                     .backend = options_.backend,
                     .started = running(),
                     .stopping = phase_ == Phase::stopping,
                     .desired = running() ? target_ : 0,
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
                     .calls_completed = ledger_->completed,
                     .calls_failed = ledger_->failed,
                     .calls_failed_by = {ledger_->failed_by.begin(), ledger_->failed_by.end()},
                     .workers_started = pool_totals_->workers_started,
                     .workers_crashed = pool_totals_->workers_crashed,
                     .workers_killed = pool_totals_->workers_killed,
                     .workers_recycled = pool_totals_->workers_recycled,
                     .log_lines = pool_totals_->log->lines,
                     .log_lines_dropped = pool_totals_->log->dropped,
                     .last_replacement_time = pool_totals_->last_replacement_time,
                     .worker_kill_scope = pool_totals_->kill_scope,
                     .acquire_wait = summary_of(acquire_wait_),
                     .call_wait = summary_of(ledger_->wait),
                     .call_run = summary_of(ledger_->run),
                     .sandbox = pool_totals_->sandbox,
                     .worker_memory_bound = pool_totals_->memory_bound};
  const TimePoint now = scheduler_->now();
  stats.leases.reserve(leased_);
  for (const PoolSlot& slot : pools_) {
    if (slot.lease) stats.leases.push_back(slot.lease->stats(now));
  }
  std::ranges::sort(stats.leases, {}, &LeaseStats::lease_id);
  stats.waiters.reserve(waiters_.size());
  for (const auto& [id, waiter] : waiters_.all()) {
    const auto& timeout = waiter.request.timeout;
    stats.waiters.push_back(
        {.owner = waiter.request.owner,
         .age = now - waiter.since,
         .until_timeout = timeout ? until(deadline_after(waiter.since, *timeout), now) : Duration::max()});
  }
  return stats;
}

}  // namespace leasepool::detail
