// A lease's state: what it refuses and why, how it ends, and what it tells of itself. Its calls are in lease_calls.cpp.
#include "lease/lease_record.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "lease/text.hpp"

namespace leasepool::detail {

LeaseRecord::LeaseRecord(std::shared_ptr<Scheduler> loop, LeaseObserver& observer,
                         std::shared_ptr<CallStats> call_stats, std::shared_ptr<Pool> pool, Grant grant)
    : scheduler(std::move(loop)),
      id(grant.id),
      owner(std::move(grant.owner)),
      where(grant.where),
      granted_at(grant.at),
      soft_expires_at(grant.soft),
      hard_expires_at(grant.hard),
      observer_(&observer),
      call_stats_(std::move(call_stats)),
      pool_(std::move(pool)) {}

LeaseRecord::~LeaseRecord() = default;

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
    case LeaseState::orphaned:
      return Error::make(Errc::not_started,
                         [&] { return description() + ": its manager was stopped or destroyed; acquire a new one"; });
  }
  const std::size_t limit = call_stats_->max_queued_calls;
  if (limit != 0 && in_flight_ >= call_stats_->workers_per_pool + limit) {
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
  state_ = LeaseState::released;
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

void LeaseRecord::end_queued(const Error& error) {
  for (Job* job = first_; job != nullptr;) {
    Job* const next = job->state.in_flight_next;
    if (!runs(*job)) (void)pool_->withdraw(*job, error);
    job = next;
  }
}

void LeaseRecord::interrupt_running(const Error& error, Ended ended) {
  for (Job* job = first_; job != nullptr;) {
    Job* const next = job->state.in_flight_next;
    if (runs(*job) && (ended == Ended::are_included || !has_ended(*job))) (void)pool_->interrupt(*job, error);
    job = next;
  }
}

void LeaseRecord::note_stacks() const {
  if (!pool_->can_note_stacks()) return;
  for (const Job* job = first_; job != nullptr; job = job->state.in_flight_next) {
    if (runs(*job)) pool_->note_stack(*job);
  }
}

bool LeaseRecord::runs_something() const noexcept {
  for (const Job* job = first_; job != nullptr; job = job->state.in_flight_next) {
    if (runs_still(*job)) return true;
  }
  return false;
}

std::string LeaseRecord::names_of_running() const {
  std::string names;
  for (const Job* job = first_; job != nullptr; job = job->state.in_flight_next) {
    if (!runs_still(*job)) continue;
    names += (names.empty() ? "" : ", ") + std::string(job->function_name());
  }
  return names;
}

void LeaseRecord::give_up_running(const Error& error, Ended ended) noexcept {
  for (Job* job = first_; job != nullptr; job = job->state.in_flight_next) {
    if (ended == Ended::are_included || !has_ended(*job)) tell_early(*job, error);
  }
}

void LeaseRecord::give_up_soon(const Error& error) noexcept {
  gives_up_.emplace(error);
  if (auto queued = gives_up_soon_.to_queue(shared_from_this())) scheduler->post(std::move(queued));
}

void LeaseRecord::give_up_on_running() { give_up_running(*gives_up_); }

void LeaseRecord::count(const Job& job) noexcept {
  const Error* const error = job.error();
  error == nullptr ? void(++call_stats_->completed) : call_stats_->count_failure(*error);
  if (!runs(job)) return;
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
  for (const Job* job = first_; job != nullptr && left > 0; job = job->state.in_flight_next) {
    if (!runs(*job)) {
      if (!job->state.of_batch) --left;
      continue;
    }
    --left;
    stats.running.push_back({.call_id = job->state.id,
                             .function = std::string(job->function_name()),
                             .running_for = now - job->state.started.load(std::memory_order_relaxed)});
  }
  stats.calls_running = stats.running.size();
  stats.calls_queued = in_flight_ - stats.calls_running;
  return stats;
}

void LeaseRecord::add(Job& job) noexcept {
  job.state.in_flight_previous = last_;
  (last_ == nullptr ? first_ : last_->state.in_flight_next) = &job;
  last_ = &job;
  ++in_flight_;
}

void LeaseRecord::remove(Job& job) noexcept {
  JobState& state = job.state;
  (state.in_flight_previous == nullptr ? first_ : state.in_flight_previous->state.in_flight_next) =
      state.in_flight_next;
  (state.in_flight_next == nullptr ? last_ : state.in_flight_next->state.in_flight_previous) = state.in_flight_previous;
  --in_flight_;
}

// They stand in the order of their ids. Who cancels many goes mostly from one end to the other.
Job* LeaseRecord::find_in_flight(std::uint64_t job_id) const noexcept {
  Job* older = first_;
  Job* newer = last_;
  while (older != nullptr && older->state.id <= job_id && newer->state.id >= job_id) {
    if (older->state.id == job_id) return older;
    if (newer->state.id == job_id) return newer;
    older = older->state.in_flight_next;
    newer = newer->state.in_flight_previous;
  }
  return nullptr;
}

Job* LeaseRecord::find(std::uint64_t job_id) const noexcept {
  const auto found = watched_.find(job_id);
  return found == watched_.end() ? nullptr : found->second;
}

}  // namespace leasepool::detail
