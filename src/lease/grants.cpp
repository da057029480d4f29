// ManagerCore's leases and waiters: granting, waiting in order, releasing, and expiry.
#include <algorithm>
#include <atomic>
#include <span>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "lease/manager_core.hpp"
#include "lease/text.hpp"

namespace leasepool::detail {

namespace {

// So many holders are named to each of those who wait, of whom there may be many.
constexpr std::size_t kHoldersNamed = 8;

std::uint64_t next_lease_id() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

}  // namespace

std::uint64_t ManagerCore::acquire(AcquireRequest request, AcquireCallback callback) {
  if (!running()) {
    refuse(std::move(callback),
           {Errc::not_started, options_.name_prefix + ": " + quoted_owner(request.owner) +
                                   " cannot acquire: the manager is not running; await start() first"});
    return 0;
  }
  if (waiters_.empty() && !idle_.empty()) {
    const TimePoint now = scheduler_->now();
    grant(request, std::move(callback), now, now);
    return 0;
  }
  const std::size_t coming = starting_pools() + (options_.max_pools - pools_.size());
  if (!request.wait && waiters_.size() >= coming) {
    refuse(std::move(callback),
           {Errc::lease_unavailable, options_.name_prefix + ": no pool is free for " + quoted_owner(request.owner) +
                                         ": max_pools = " + std::to_string(options_.max_pools) +
                                         " are all in use, and wait = false; held by " + holders(leased_)});
    return 0;
  }
  if (options_.max_waiters != 0 && waiters_.size() >= options_.max_waiters) {
    refuse(std::move(callback), {Errc::lease_unavailable,
                                 options_.name_prefix + ": " + quoted_owner(request.owner) +
                                     " cannot wait for a pool: max_waiters = " + std::to_string(options_.max_waiters) +
                                     " acquires wait already; held by " + holders(kHoldersNamed)});
    return 0;
  }
  const TimePoint now = scheduler_->now();
  const std::optional<Duration> timeout = request.timeout;
  const std::uint64_t id =
      waiters_.push({.request = std::move(request), .callback = std::move(callback), .since = now, .timer = 0});
  if (timeout) {
    waiters_.find(id)->timer = scheduler_->call_at(deadline_after(now, *timeout), [weak = weak_from_this(), id] {
      if (const auto self = weak.lock()) self->waiter_timed_out(id);
    });
  }
  add_pools_for_waiters();
  return id;
}

// As many as there are waiters, up to max_pools.
void ManagerCore::add_pools_for_waiters() {
  for (std::size_t coming = starting_pools(); coming < waiters_.size() && pools_.size() < options_.max_pools;
       ++coming) {
    add_pool();
  }
}

void ManagerCore::leave_queue(std::uint64_t waiter_id) {
  const Waiter* const waiter = waiters_.find(waiter_id);
  if (waiter == nullptr) return;
  scheduler_->cancel_timer(waiter->timer);
  (void)waiters_.remove(waiter_id);
}

void ManagerCore::waiter_timed_out(std::uint64_t waiter_id) {
  if (waiters_.find(waiter_id) == nullptr) return;
  ++acquires_timed_out_;
  Waiter waiter = waiters_.remove(waiter_id);
  const std::string waited = in_words(*waiter.request.timeout);
  const std::string owner = quoted_owner(waiter.request.owner);
  refuse_waiter(std::move(waiter),
                {Errc::timed_out, options_.name_prefix + ": " + owner + " waited for AcquireOptions::timeout = " +
                                      waited + " and got none of max_pools = " + std::to_string(options_.max_pools) +
                                      "; held by " + holders(kHoldersNamed)});
}

void ManagerCore::refuse(AcquireCallback callback, Error error) {
  ++acquires_failed_;
  scheduler_->defer([callback = std::move(callback), error = std::move(error)]() mutable {
    callback(std::unexpected(std::move(error)));
  });
}

void ManagerCore::refuse_waiter(Waiter waiter, const Error& error) {
  scheduler_->cancel_timer(waiter.timer);
  refuse(std::move(waiter.callback), error);
}

void ManagerCore::fail_waiters(Errc code, const std::string& reason) {
  while (!waiters_.empty()) refuse_waiting(waiters_.pop_front(), code, reason);
}

void ManagerCore::refuse_waiting(Waiter waiter, Errc code, const std::string& reason) {
  const std::string owner = quoted_owner(waiter.request.owner);
  refuse_waiter(std::move(waiter), {code, options_.name_prefix + ": " + owner + " waited for a pool: " + reason});
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

void ManagerCore::grant(AcquireRequest& request, AcquireCallback callback, TimePoint asked, TimePoint now) {
  const Slot slot = idle_.back();
  idle_.pop_back();
  slot->lease = std::allocate_shared<LeaseRecord>(
      JobAllocator<LeaseRecord>(), scheduler_, *this, ledger_, slot->pool,
      LeaseRecord::Grant{.id = next_lease_id(), .owner = std::move(request.owner), .where = request.where, .at = now});
  slot->lease->slot = &*slot;
  ++leased_;
  ++acquired_;
  acquire_wait_.record(now - asked);
  set_deadlines(*slot->lease, now, request.lease_duration);
  slot->lease->granted = std::move(callback);
  scheduler_->defer([lease = ExecutorLease(slot->lease)]() mutable {
    AcquireCallback granted = std::move(lease.record()->granted);
    granted(std::move(lease));
  });
}

void ManagerCore::serve_waiters() {
  while (!waiters_.empty() && !idle_.empty()) {
    Waiter waiter = waiters_.pop_front();
    scheduler_->cancel_timer(waiter.timer);
    grant(waiter.request, std::move(waiter.callback), waiter.since, scheduler_->now());
  }
}

void ManagerCore::lease_released(LeaseRecord& record) {
  if (record.idle()) lease_drained(record);  // else it stays lent until its calls end, or its hard expiry passes
}

void ManagerCore::lease_drained(LeaseRecord& record) {
  if (record.slot == nullptr) return;
  scheduler_->cancel_timer(std::exchange(record.expiry_timer, 0));
  return_pool(record.slot->place);
}

void ManagerCore::return_pool(Slot slot) {
  take_lease(*slot).reset();
  const bool broken = slot->pool->broken();
  if (broken || (waiters_.empty() && pools_.size() > target_)) {
    retire(slot);
    return broken ? resize() : add_pools_for_waiters();
  }
  idle_.push_back(slot);
  serve_waiters();
}

// The timer's manager and record are alive: it is cancelled when the lease ends in any other way, with its manager too.
void ManagerCore::set_deadlines(LeaseRecord& record, TimePoint from, Duration duration) {
  record.soft_expires_at = deadline_after(from, duration);
  record.hard_expires_at = deadline_after(record.soft_expires_at, options_.lease_grace);
  scheduler_->cancel_timer(record.expiry_timer);
  record.expiry_timer = scheduler_->call_at(record.soft_expires_at, [this, &record] {
    const auto self = shared_from_this();  // the log sink may destroy the handle
    soft_expired(record);
  });
}

void ManagerCore::extend_lease(LeaseRecord& record, Duration duration) {
  set_deadlines(record, scheduler_->now(), duration);
}

void ManagerCore::soft_expired(LeaseRecord& record) {
  ++leases_expired_;
  if (record.hard_expires_at <= record.soft_expires_at) return revoke(record);
  record.note_stacks();  // so that its revocation can say where its calls were
  record.expiry_timer = scheduler_->call_at(record.hard_expires_at, [this, &record] {
    const auto self = shared_from_this();
    revoke(record);
  });
  log(LogLevel::warning, record.description() + ", acquired at " + record.where.file_name() + ":" +
                             std::to_string(record.where.line()) + ", is past its soft expiry after " +
                             in_words(scheduler_->now() - record.granted_at) + "; it is revoked in " +
                             in_words(options_.lease_grace));
}

void ManagerCore::revoke(LeaseRecord& record) {
  check(record.slot != nullptr, "a lease that expires is lent");
  const Slot slot = record.slot->place;
  const std::shared_ptr<LeaseRecord> lease = slot->lease;
  lease->expiry_timer = 0;
  lease->set_state(LeaseState::revoked);
  ++leases_revoked_;
  const Error error = *lease->refusal();
  lease->end_queued(error);
  retire(slot);  // before its workers are killed, so that it does not replace them
  lease->interrupt_running(error);
  if (lease->gives_up_at_expiry) lease->give_up_running(error);
  resize_soon();
  log(LogLevel::warning, error.message() + "; acquired at " + lease->where.file_name() + ":" +
                             std::to_string(lease->where.line()) + ", held for " +
                             in_words(scheduler_->now() - lease->granted_at));
}

}  // namespace leasepool::detail
