// ManagerCore's leases and waiters: granting, waiting in order, releasing, and expiry.
#include <algorithm>
#include <atomic>
#include <new>
#include <span>
#include <stop_token>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "lease/manager_core.hpp"
#include "lease/stop_callback.hpp"
#include "lease/text.hpp"
#include "leasepool/detail/access.hpp"

namespace leasepool::detail {

namespace {

// So many holders are named to each of those who wait, of whom there may be many.
constexpr std::size_t kHoldersNamed = 8;

// Managers take them so many at a time.
constexpr std::uint64_t kLeaseIds = 64;

std::uint64_t first_of_lease_ids() noexcept {
  static std::atomic<std::uint64_t> next = 1;
  return next.fetch_add(kLeaseIds, std::memory_order_relaxed);
}

Error cancelled_error(const ManagerOptions& options, const AcquireRequest& request) noexcept {
  return Error::make(Errc::cancelled, [&] {
    return options.name_prefix + ": " + quoted_owner(request.owner) +
           " no longer waits for a pool: the caller's stop token was asked to stop";
  });
}

// Of a waiter whose stop token was asked to stop.
class WaiterCancellation final : public Deferred {
 public:
  WaiterCancellation(std::weak_ptr<ManagerCore> manager, std::uint64_t waiter) noexcept
      : manager_(std::move(manager)), waiter_(waiter) {}
  void run() override {
    if (const auto manager = manager_.lock()) manager->cancel_waiter(waiter_);
  }

 private:
  std::weak_ptr<ManagerCore> manager_;
  std::uint64_t waiter_;
};

}  // namespace

std::uint64_t ManagerCore::acquire(AcquireRequest request, AcquireCallback callback, const std::stop_token& stop) {
  auto notice = std::make_unique<Notice<ExecutorLease>>(std::move(callback));
  const TimePoint now = scheduler_->now();
  if (stop.stop_requested()) {
    refuse(std::move(notice), cancelled_error(options_, request));
    return 0;
  }
  if (running() && waiters_.empty() && !idle_.empty()) {
    grant(request, notice, now, now);
    return 0;
  }
  if (auto error = refusal(request)) {
    refuse(std::move(notice), *error);
    return 0;
  }
  const std::optional<Duration> longest = request.wait ? std::nullopt : source_->longest_answer();
  std::optional<Duration> timeout = request.timeout;
  if (longest) timeout = std::min(*longest, request.timeout.value_or(*longest));
  const std::uint64_t id =
      waiters_.push({.request = std::move(request), .notice = std::move(notice), .since = now, .timer = 0});
  if (longest) source_->hurry(deadline_after(now, *longest));
  try {
    if (timeout) {
      waiters_.find(id)->timer = scheduler_->call_at(deadline_after(now, *timeout), [weak = weak_from_this(), id] {
        if (const auto self = weak.lock()) self->waiter_timed_out(id);
      });
    }
    if (stop.stop_possible()) {
      waiters_.find(id)->cancellation =
          std::make_unique<StopCallback>(stop, scheduler_, std::make_unique<WaiterCancellation>(weak_from_this(), id));
    }
  } catch (const std::bad_alloc&) {
    scheduler_->cancel_timer(waiters_.find(id)->timer);
    (void)waiters_.remove(id);
    throw;
  }
  add_pools_for_waiters();
  return id;
}

// Why the caller cannot even wait; none if it can.
std::optional<Error> ManagerCore::refusal(const AcquireRequest& request) const noexcept {
  if (!running()) {
    return Error::make(Errc::not_started, [&] {
      return options_.name_prefix + ": " + quoted_owner(request.owner) +
             " cannot acquire: the manager is not running; await start() first";
    });
  }
  const std::size_t coming = starting_pools() + (options_.max_pools - pools_.size());
  if (!request.wait && waiters_.size() >= coming) {
    return Error::make(Errc::lease_unavailable, [&] {
      return options_.name_prefix + ": no pool is free for " + quoted_owner(request.owner) +
             ": max_pools = " + std::to_string(options_.max_pools) + " are all in use, and wait = false; held by " +
             holders(leased_);
    });
  }
  if (options_.max_waiters != 0 && waiters_.size() >= options_.max_waiters) {
    return Error::make(Errc::lease_unavailable, [&] {
      return options_.name_prefix + ": " + quoted_owner(request.owner) +
             " cannot wait for a pool: max_waiters = " + std::to_string(options_.max_waiters) +
             " acquires wait already; held by " + holders(kHoldersNamed);
    });
  }
  return std::nullopt;
}

// As many as there are waiters, up to max_pools.
void ManagerCore::add_pools_for_waiters() {
  for (std::size_t coming = starting_pools(); coming < waiters_.size() && pools_.size() < options_.max_pools;
       ++coming) {
    if (!add_pool()) return;
  }
}

void ManagerCore::leave_queue(std::uint64_t waiter_id) {
  const Waiter* const waiter = waiters_.find(waiter_id);
  if (waiter == nullptr) return;
  scheduler_->cancel_timer(waiter->timer);
  (void)waiters_.remove(waiter_id);
  withdraw_surplus();
}

void ManagerCore::cancel_waiter(std::uint64_t waiter_id) {
  if (waiters_.find(waiter_id) == nullptr) return;
  Waiter waiter = waiters_.remove(waiter_id);
  const Error error = cancelled_error(options_, waiter.request);
  refuse_waiter(std::move(waiter), error);
}

Error ManagerCore::late(const AcquireRequest& request) noexcept {
  ++acquires_timed_out_;
  return Error::make(Errc::timed_out, [&] {
    return options_.name_prefix + ": " + quoted_owner(request.owner) +
           " waited for AcquireOptions::timeout = " + in_words(*request.timeout) +
           " and got none of max_pools = " + std::to_string(options_.max_pools) +
           (source_->borrows() ? " (" + source_->why_none() + ")" : "") + "; held by " + holders(kHoldersNamed);
  });
}

// Of one who did not want to wait, where the source of pools was asked first.
Error ManagerCore::none_at_once(const AcquireRequest& request) const noexcept {
  return Error::make(Errc::lease_unavailable, [&] {
    return options_.name_prefix + ": no pool is free for " + quoted_owner(request.owner) + ": " + source_->why_none() +
           ", and wait = false; of max_pools = " + std::to_string(options_.max_pools) + ", held by " + holders(leased_);
  });
}

void ManagerCore::waiter_timed_out(std::uint64_t waiter_id) {
  if (waiters_.find(waiter_id) == nullptr) return;
  Waiter waiter = waiters_.remove(waiter_id);
  const Error error = waiter.request.wait ? late(waiter.request) : none_at_once(waiter.request);
  refuse_waiter(std::move(waiter), error);
}

// Those that are about to start are for the first who wait.
void ManagerCore::none_free(std::size_t coming) noexcept {
  std::uint64_t looked_at = 0;
  for (const auto& [id, waiter] : waiters_.all()) {
    if (coming == 0) break;
    --coming;
    looked_at = id;
  }
  for (;;) {
    const auto hasty = std::find_if(waiters_.all().upper_bound(looked_at), waiters_.all().end(),
                                    [](const auto& waiter) { return !waiter.second.request.wait; });
    if (hasty == waiters_.all().end()) return;
    looked_at = hasty->first;
    waiter_timed_out(looked_at);
  }
}

void ManagerCore::refuse(AcquireNotice notice, const Error& error) noexcept {
  check(notice != nullptr, "who is refused a lease has not been told yet");
  ++acquires_failed_;
  notice->set(std::unexpected(Access::not_run(error)));
  scheduler_->defer(std::move(notice));
}

void ManagerCore::refuse_waiter(Waiter waiter, const Error& error) noexcept {
  scheduler_->cancel_timer(waiter.timer);
  refuse(std::move(waiter.notice), error);
  if (running()) withdraw_surplus();
}

void ManagerCore::fail_waiters(const Error& reason) noexcept {
  while (!waiters_.empty()) refuse_waiting(waiters_.pop_front(), reason);
}

void ManagerCore::refuse_waiting(Waiter waiter, const Error& reason) noexcept {
  const Error error = Access::with_message(reason, [&] {
    return options_.name_prefix + ": " + quoted_owner(waiter.request.owner) + " waited for a pool: " + reason.message();
  });
  refuse_waiter(std::move(waiter), error);
}

std::string ManagerCore::holders(std::size_t most) const {
  std::vector<const LeaseRecord*> records;
  records.reserve(leased_);
  for (const PoolSlot& slot : pools_) {
    if (slot.lease) records.push_back(slot.lease.get());
  }
  const std::size_t named = std::min(most, records.size());
  std::ranges::partial_sort(records, records.begin() + static_cast<std::ptrdiff_t>(named), {}, &LeaseRecord::id);
  std::string text;
  const TimePoint now = scheduler_->now();
  for (const LeaseRecord* const record : std::span(records).first(named)) {
    text += (text.empty() ? "" : ", ") + quoted_owner(record->owner) + " for " + in_words(now - record->granted_at);
  }
  if (named < records.size()) text += ", and " + std::to_string(records.size() - named) + " more";
  return text.empty() ? "nobody" : text;
}

// Of no other lease in this process.
std::uint64_t ManagerCore::new_lease_id() noexcept {
  if (lease_ids_left_ == 0) {
    next_lease_id_ = first_of_lease_ids();
    lease_ids_left_ = kLeaseIds;
  }
  --lease_ids_left_;
  return next_lease_id_++;
}

// Throws std::bad_alloc, and then the pool is idle as before, and the request has lost its owner's name.
void ManagerCore::grant(AcquireRequest& request, AcquireNotice& notice, TimePoint asked, TimePoint now) {
  check(notice != nullptr, "who is granted a lease has not been told yet");
  const Slot slot = idle_.back();
  auto lease = std::allocate_shared<LeaseRecord>(
      JobAllocator<LeaseRecord>(), *this, scheduler_, *call_stats_, slot->pool,
      LeaseRecord::Grant{.id = new_lease_id(), .owner = std::move(request.owner), .where = request.where, .at = now});
  slot->pool->lease_began(lease->owner, {.until_soft = request.lease_duration, .grace = options_.lease_grace});
  set_deadlines(*lease, now, request.lease_duration);
  idle_.pop_back();
  slot->enter(PoolPhase::lent);
  check(slot->lease == nullptr, "a pool is lent once at a time");
  lease->slot = &*slot;
  slot->lease = lease;
  ++leased_;
  ++acquired_;
  acquire_wait_.record(now - asked);
  lease->trace_row = slot->trace_row;
  if (call_stats_->trace) trace_grant(*lease, asked);
  notice->set(Access::make<ExecutorLease>(std::move(lease)));
  scheduler_->defer(std::move(notice));
}

// Where there is no memory to serve one, the pool goes to the next.
void ManagerCore::serve_waiters() noexcept {
  while (!waiters_.empty() && !idle_.empty()) {
    Waiter waiter = waiters_.pop_front();
    scheduler_->cancel_timer(waiter.timer);
    try {
      grant(waiter.request, waiter.notice, waiter.since, scheduler_->now());
    } catch (const std::bad_alloc&) {
      refuse_waiter(std::move(waiter), Error::out_of_memory());
    }
  }
}

void ManagerCore::lease_released(LeaseRecord& record) {
  if (record.idle()) return lease_drained(record);
  if (call_stats_->trace)
    trace_lease(record, "released");  // it stays lent until its calls end, or its hard expiry passes
}

void ManagerCore::lease_drained(LeaseRecord& record) {
  if (record.slot == nullptr) return;
  scheduler_->cancel_timer(std::exchange(record.expiry_timer, 0));
  return_pool(record.slot->place);
}

void ManagerCore::return_pool(Slot slot) {
  check(slot->phase == PoolPhase::lent, "a pool comes back once");
  end_lending(*slot);
  slot->lease.reset();
  const bool broken = slot->pool->broken();
  if (broken || source_->borrows() || (waiters_.empty() && pools_.size() > target_)) {
    retire(slot);
    return broken ? resize() : fill();
  }
  slot->pool->lease_ended();
  make_idle(slot);
  serve_waiters();
}

// The timer's manager and record are alive: it is cancelled when the lease ends in any other way, with its manager too.
// Throws std::bad_alloc, and then nothing has changed.
void ManagerCore::set_deadlines(LeaseRecord& record, TimePoint from, Duration duration) {
  const TimePoint soft = deadline_after(from, duration);
  const TimerId timer = scheduler_->call_at(soft, [this, &record] { soft_expired(record); });
  scheduler_->cancel_timer(std::exchange(record.expiry_timer, timer));
  record.soft_expires_at = soft;
  record.hard_expires_at = deadline_after(soft, options_.lease_grace);
}

// Where the pool is elsewhere, from when it was asked for, once that holds there.
void ManagerCore::extend_lease(LeaseRecord& record, Duration duration) {
  const TimePoint now = scheduler_->now();
  auto holds = [weak_manager = weak_from_this(), weak_record = record.weak_from_this(), now, duration] {
    const auto manager = weak_manager.lock();
    const auto lease = weak_record.lock();
    if (manager && lease && lease->state() == LeaseState::active) manager->set_deadlines(*lease, now, duration);
  };
  const LeaseTerms terms{.until_soft = duration, .grace = options_.lease_grace};
  if (record.pool()->extend_lease(terms, std::move(holds))) set_deadlines(record, now, duration);
}

void ManagerCore::soft_expired(LeaseRecord& record) {
  check(record.slot != nullptr, "a lease that expires is lent");
  ++leases_expired_;
  if (call_stats_->trace) trace_lease(record, "expired");
  if (record.hard_expires_at <= record.soft_expires_at) return revoke(record);
  // In the place of the timer that has come, so that it takes no memory.
  record.expiry_timer = scheduler_->call_at(record.hard_expires_at, [this, &record] { revoke(record); });
  record.note_stacks();  // so that its revocation can say where its calls were
  log(LogLevel::warning, [&] {
    return record.description() + ", acquired at " + record.where.file_name() + ":" +
           std::to_string(record.where.line()) + ", is past its soft expiry after " +
           in_words(scheduler_->now() - record.granted_at) + "; it is revoked in " + in_words(options_.lease_grace);
  });
}

void ManagerCore::revoke(LeaseRecord& record) {
  check(record.slot != nullptr, "a lease that expires is lent");
  const Slot slot = record.slot->place;
  const std::shared_ptr<LeaseRecord> lease = slot->lease;
  lease->expiry_timer = 0;
  lease->enter(LeaseState::revoked);
  ++leases_revoked_;
  if (call_stats_->trace) trace_lease(record, "revoked");
  const Error error = *lease->refusal();
  const std::shared_ptr<Pool> pool = slot->pool;
  pool->drain(error);
  retire(slot);  // before its workers are killed, so that it does not replace them
  pool->abort(error, Ended::are_spared);
  if (lease->gives_up_at_expiry) lease->give_up_running(error, Ended::are_spared);
  resize_soon();
  log(LogLevel::warning, [&] {
    return error.message() + "; acquired at " + lease->where.file_name() + ":" + std::to_string(lease->where.line()) +
           ", held for " + in_words(scheduler_->now() - lease->granted_at);
  });
}

}  // namespace leasepool::detail
