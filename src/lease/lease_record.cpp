// A lease's state: what it refuses and why, how it ends, and what it tells of itself. Its calls are in lease_calls.cpp.
#include "lease/lease_record.hpp"

#include <atomic>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "lease/text.hpp"
#include "leasepool/detail/access.hpp"

namespace leasepool::detail {

LeaseRecord::LeaseRecord(LeaseObserver& observer, std::shared_ptr<Scheduler> loop, CallStats& call_stats,
                         std::shared_ptr<Pool> pool, Grant grant)
    : scheduler(std::move(loop)),
      id(grant.id),
      owner(std::move(grant.owner)),
      where(grant.where),
      granted_at(grant.at),
      observer_(&observer),
      pool_(std::move(pool)),
      call_stats_(&call_stats) {}

LeaseRecord::~LeaseRecord() {
  check(slot == nullptr, "a lease that has a pool is kept by its manager");
  check(expiry_timer == 0, "a lease's timer is disarmed before it goes");
}

void LeaseRecord::enter(LeaseState next) noexcept {
  check(may_follow(state_, next), "a lease takes no calls any more once it has ended");
  state_ = next;
  spare_holds_.clear();
}

void LeaseRecord::lose(const Error& why) noexcept {
  enter(LeaseState::lost);
  lost_.emplace(why);
}

std::string LeaseRecord::description() const {
  return "lease " + std::to_string(id) + " of " + quoted_owner(owner) + " on " + call_stats_->manager;
}

std::string LeaseRecord::cancellation_text(const Job& job) const {
  return description() + ": " + std::string(job.function_name()) + " was cancelled by the caller's stop token";
}

Error LeaseRecord::self_wait(std::string_view function) const {
  return Error::make(Errc::queue_full, [&] {
    return description() + ": " + std::string(function) +
           " would wait for ever: it was submitted by a function that runs on the last free one of "
           "workers_per_pool = " +
           std::to_string(call_stats_->workers_per_pool) +
           " workers; raise workers_per_pool, or submit it from elsewhere";
  });
}

std::optional<Error> LeaseRecord::refusal() const noexcept {
  switch (state_) {
    case LeaseState::active: break;
    case LeaseState::released:
      return Error::make(Errc::lease_expired, [&] { return description() + " was released; acquire a new one"; });
    case LeaseState::revoked:
      return Error::make(Errc::lease_expired, [&] {
        return description() + " was revoked at its hard expiry: " + in_words(soft_expires_at - granted_at) +
               " of lease_duration (or extend()) and lease_grace = " + in_words(hard_expires_at - soft_expires_at) +
               " have passed; ask for a longer lease_duration, or extend() it in time";
      });
    case LeaseState::lost:
      return Access::with_message(
          *lost_, [&] { return description() + " is over: " + lost_->message() + "; acquire a new one"; });
    case LeaseState::orphaned:
      return Error::make(Errc::not_started,
                         [&] { return description() + ": its manager was stopped or destroyed; acquire a new one"; });
  }
  const std::size_t limit = call_stats_->max_queued_calls;
  if (limit != 0 && calls_.size() >= call_stats_->workers_per_pool + limit) {
    return Error::make(Errc::queue_full, [&] {
      return description() + ": " + std::to_string(limit) + " calls wait for " +
             std::to_string(call_stats_->workers_per_pool) + " workers already, and max_queued_calls is " +
             std::to_string(limit);
    });
  }
  return std::nullopt;
}

void LeaseRecord::release() {
  if (state_ != LeaseState::active || observer_ == nullptr) return;
  enter(LeaseState::released);
  observer_->lease_released(*this);
}

void LeaseRecord::release_from_thread(std::shared_ptr<LeaseRecord> record) noexcept {
  Scheduler& loop = *record->scheduler;
  LeaseRecord& released = *record;
  if (auto queued = released.release_from_thread_.to_queue(std::move(record))) loop.post(std::move(queued));
}

void LeaseRecord::extend(Duration duration) {
  if (state_ != LeaseState::active) refusal()->raise();
  observer_->extend_lease(*this, duration);
}

void LeaseRecord::note_stacks() const {
  if (!pool_->can_note_stacks()) return;
  calls_.for_each([&](const Job& job) {
    if (has_started(job)) pool_->note_stack(job);
  });
}

bool LeaseRecord::runs_something() const noexcept {
  bool any = false;
  calls_.for_each_while([&](const Job& job) { return !(any = is_running(job)); });
  return any;
}

std::string LeaseRecord::names_of_running() const {
  std::string names;
  calls_.for_each([&](const Job& job) {
    if (is_running(job)) names += (names.empty() ? "" : ", ") + std::string(job.function_name());
  });
  return names;
}

void LeaseRecord::give_up_running(const Error& error, Ended ended) noexcept {
  calls_.for_each([&](Job& job) {
    if (ended == Ended::are_included || !has_ended(job)) queue_early_outcome(job, error);
  });
}

void LeaseRecord::give_up_soon(const Error& error) noexcept {
  gives_up_.emplace(error);
  if (auto queued = gives_up_soon_.to_queue(shared_from_this())) scheduler->post(std::move(queued));
}

void LeaseRecord::give_up_on_running() { give_up_running(*gives_up_); }

void LeaseRecord::count(const Job& job) noexcept {
  const Error* const error = job.error();
  error == nullptr ? void(++call_stats_->completed) : call_stats_->count_failure(*error);
  if (!has_started(job)) return;
  const TimePoint started = job.state.started.load(std::memory_order_relaxed);
  call_stats_->wait.record(started - job.state.submitted);
  const TimePoint ended = job.state.ended.load(std::memory_order_relaxed);
  call_stats_->run.record((ended == TimePoint{} ? scheduler->now() : ended) - started);
}

LeaseStats LeaseRecord::stats(TimePoint now) const {
  LeaseStats stats{.lease_id = id,
                   .owner = owner,
                   .acquired_at = std::string(where.file_name()) + ":" + std::to_string(where.line()),
                   .age = now - granted_at,
                   .until_soft_expiry = until(soft_expires_at, now),
                   .until_hard_expiry = until(hard_expires_at, now),
                   .draining = state_ == LeaseState::released};
  // Calls start in order or nearly so, so those that run are among the oldest.
  std::size_t left = call_stats_->workers_per_pool;
  calls_.for_each_while([&](const Job& job) {
    if (left == 0) return false;
    if (has_started(job)) {
      stats.running.push_back({.call_id = job.state.id,
                               .function = std::string(job.function_name()),
                               .running_for = now - job.state.started.load(std::memory_order_relaxed)});
    }
    if (has_started(job) || !job.state.of_batch) --left;
    return true;
  });
  stats.calls_running = stats.running.size();
  stats.calls_queued = calls_.size() - stats.calls_running;
  return stats;
}

}  // namespace leasepool::detail
