// A lease's calls: admitted, timed, cancelled, and handed back.
#include "lease/lease_record.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "lease/text.hpp"

namespace leasepool::detail {

namespace {

// A call's stack is noted when a tenth of its time-out is left.
constexpr int kLateInTimeout = 10;

bool runs(const Job& job) noexcept { return job.booking.started.load(std::memory_order_relaxed) != TimePoint{}; }

}  // namespace

LeaseRecord::LeaseRecord(std::shared_ptr<Scheduler> loop, LeaseKeeper& keeper, std::shared_ptr<CallLedger> ledger,
                         std::shared_ptr<Pool> pool, Grant grant)
    : scheduler(std::move(loop)),
      id(grant.id),
      owner(std::move(grant.owner)),
      where(grant.where),
      granted_at(grant.at),
      soft_expires_at(grant.soft),
      hard_expires_at(grant.hard),
      keeper_(&keeper),
      ledger_(std::move(ledger)),
      pool_(std::move(pool)) {}

LeaseRecord::~LeaseRecord() = default;

std::string LeaseRecord::description() const {
  return "lease " + std::to_string(id) + " of " + quoted_owner(owner) + " on " + ledger_->manager;
}

std::string LeaseRecord::cancellation_text(const Job& job) const {
  return description() + ": " + std::string(job.function_name()) + " was cancelled by the caller's stop token";
}

Error LeaseRecord::self_wait(std::string_view function) const {
  return {Errc::queue_full,
          description() + ": " + std::string(function) +
              " would wait for ever: it was submitted by a function that runs on the last free one of "
              "workers_per_pool = " +
              std::to_string(ledger_->workers_per_pool) +
              " workers; raise workers_per_pool, or submit it from elsewhere"};
}

std::optional<Error> LeaseRecord::refusal() const {
  switch (state_) {
    case LeaseState::active: break;
    case LeaseState::released: return Error(Errc::lease_expired, description() + " was released; acquire a new one");
    case LeaseState::revoked:
      return Error(
          Errc::lease_expired,
          description() + " was revoked at its hard expiry: " + in_words(soft_expires_at - granted_at) +
              " of lease_duration (or extend()) and lease_grace = " + in_words(hard_expires_at - soft_expires_at) +
              " have passed; ask for a longer lease_duration, or extend() it in time");
    case LeaseState::orphaned:
      return Error(Errc::not_started, description() + ": its manager was stopped or destroyed; acquire a new one");
  }
  const std::size_t limit = ledger_->max_queued_calls;
  if (limit != 0 && in_flight_ >= ledger_->workers_per_pool + limit) {
    return Error(Errc::queue_full, description() + ": " + std::to_string(limit) + " calls wait for " +
                                       std::to_string(ledger_->workers_per_pool) +
                                       " workers already, and max_queued_calls is " + std::to_string(limit));
  }
  return std::nullopt;
}

void LeaseRecord::submit(std::unique_ptr<Job> job, const CallSettings& settings) {
  if (auto admitted = admit(std::move(job), settings, scheduler->now())) pool_->submit(std::move(admitted));
}

void LeaseRecord::submit_batch(std::vector<Submission> submissions) {
  IntrusiveQueue<Job> admitted;
  const TimePoint now = scheduler->now();
  for (Submission& submission : submissions) {
    auto job = admit(std::move(submission.job), submission.settings, now);
    if (!job) continue;
    job->booking.of_batch = true;
    admitted.push_back(std::move(job));
  }
  if (!admitted.empty()) pool_->submit_batch(std::move(admitted));
}

// Takes the job into the lease's books; null if it failed instead.
std::unique_ptr<Job> LeaseRecord::admit(std::unique_ptr<Job> job, const CallSettings& settings, TimePoint now) {
  JobBooking& booking = job->booking;
  booking.id = ++ledger_->last_call_id;
  booking.lease = shared_from_this();
  booking.submitted = now;
  if (auto error = refusal()) {
    fail_now(std::move(job), std::move(*error));
    return nullptr;
  }
  if (settings.stop.stop_requested()) {
    Error error(Errc::cancelled, cancellation_text(*job) + " before it was submitted");
    fail_now(std::move(job), std::move(error));
    return nullptr;
  }
  if (settings.options.timeout && *settings.options.timeout != Duration::max()) {
    booking.timeout = settings.options.timeout;
    booking.reports_start = true;
  }
  booking.queue_timeout = settings.options.queue_timeout;
  if (booking.queue_timeout || booking.timeout || settings.stop.stop_possible())
    watched_.emplace(booking.id, job.get());
  if (booking.queue_timeout) watch_queue(*job);
  if (job->takes_stop_token()) booking.stop = std::stop_source();
  if (settings.stop.stop_possible()) watch_cancellation(*job, settings.stop);
  add(*job);
  return job;
}

void LeaseRecord::fail_now(std::unique_ptr<Job> job, Error error) {
  ledger_->count_failure(error);
  job->booking.lease.reset();
  job->fail(std::move(error));
  scheduler->deliver(std::move(job));
}

void LeaseRecord::watch_cancellation(Job& job, const std::stop_token& token) {
  // Any thread may request the stop; the loop then looks whether the call is still there.
  auto request = [loop = scheduler, weak = weak_from_this(), job_id = job.booking.id] {
    loop->post([weak, job_id] {
      if (const auto record = weak.lock()) record->cancelled_by_token(job_id);
    });
  };
  job.booking.cancellation = std::make_shared<std::stop_callback<decltype(request)>>(token, std::move(request));
}

void LeaseRecord::watch_queue(Job& job) {
  job.booking.timer =
      scheduler->call_at(deadline_after(job.booking.submitted, *job.booking.queue_timeout),
                         [self = shared_from_this(), job_id = job.booking.id] { self->queue_time_out(job_id); });
}

void LeaseRecord::queue_time_out(std::uint64_t job_id) {
  Job* const waiting = find(job_id);
  if (waiting == nullptr || runs(*waiting)) return;
  (void)pool_->withdraw(
      *waiting,
      {Errc::timed_out, description() + ": " + std::string(waiting->function_name()) +
                            " waited for CallOptions::queue_timeout = " + in_words(*waiting->booking.queue_timeout) +
                            ", and none of workers_per_pool = " + std::to_string(ledger_->workers_per_pool) +
                            " workers came free"});
}

void LeaseRecord::cancelled_by_token(std::uint64_t job_id) {
  if (Job* const job = find(job_id)) cancel(*job, {Errc::cancelled, cancellation_text(*job)});
}

void LeaseRecord::cancel_of_batch(std::uint64_t job_id, const Error& error) const {
  if (Job* const job = find_in_flight(job_id)) cancel(*job, error);
}

void LeaseRecord::cancel(Job& job, const Error& error) const {
  if (job.booking.delivered) return;
  if (!pool_->withdraw(job, error)) pool_->interrupt(job, error);
}

void LeaseRecord::job_started(std::uint64_t job_id, TimePoint started) {
  Job* const job = find(job_id);
  if (job == nullptr || !job->booking.timeout) return;
  scheduler->cancel_timer(job->booking.timer);  // of its wait
  watch_run(*job, started);
}

// The bound of its wait, which goes on, may have passed meanwhile.
void LeaseRecord::job_given_back(std::uint64_t job_id) {
  Job* const job = find(job_id);
  if (job == nullptr) return;
  scheduler->cancel_timer(std::exchange(job->booking.timer, 0));
  if (job->booking.queue_timeout) watch_queue(*job);
}

void LeaseRecord::watch_run(Job& job, TimePoint started) {
  const Duration timeout = *job.booking.timeout;
  const TimePoint deadline = deadline_after(started, timeout);
  if (!pool_->can_note_stacks()) {
    job.booking.timer = scheduler->call_at(
        deadline, [self = shared_from_this(), job_id = job.booking.id] { self->run_time_out(job_id); });
    return;
  }
  job.booking.timer = scheduler->call_at(
      deadline_after(started, timeout - timeout / kLateInTimeout),
      [self = shared_from_this(), job_id = job.booking.id, deadline] { self->run_nearly_time_out(job_id, deadline); });
}

void LeaseRecord::run_nearly_time_out(std::uint64_t job_id, TimePoint deadline) {
  Job* const job = find(job_id);
  if (job == nullptr || !runs(*job)) return;
  pool_->note_stack(*job);
  job->booking.timer =
      scheduler->call_at(deadline, [self = shared_from_this(), job_id] { self->run_time_out(job_id); });
}

void LeaseRecord::run_time_out(std::uint64_t job_id) {
  Job* const job = find(job_id);
  if (job == nullptr || !runs(*job) || job->booking.delivered) return;
  const Error error(Errc::timed_out, description() + ": " + std::string(job->function_name()) +
                                         " ran longer than CallOptions::timeout = " + in_words(*job->booking.timeout));
  if (pool_->interrupt(*job, error)) return;
  job->booking.delivered = true;
  ledger_->count_failure(error);
  scheduler->defer(job->take_delivery(error));
}

void LeaseRecord::job_ended(std::unique_ptr<Job> job) {
  const std::shared_ptr<JobSink> self = std::move(job->booking.lease);
  remove(*job);
  scheduler->cancel_timer(job->booking.timer);
  job->booking.cancellation.reset();
  say_whose_call(*job);
  if (!job->booking.delivered) {
    count(*job);
    scheduler->deliver(std::move(job));
  }
  if (idle() && state_ == LeaseState::released && keeper_ != nullptr) keeper_->lease_drained(*this);
}

// The layers below know the function and what happened to it, not the lease.
void LeaseRecord::say_whose_call(Job& job) const {
  const Error* const error = job.error();
  if (error == nullptr) return;
  const auto code = static_cast<Errc>(error->code().value());
  switch (code) {
    case Errc::worker_crashed:
    case Errc::pool_broken:
    case Errc::unregistered_function:
    case Errc::not_serializable:
    case Errc::payload_too_large:
    case Errc::bad_payload: return job.fail(error->with_message(description() + ": " + error->message()));
    default: return;  // said already, or the function's own
  }
}

void LeaseRecord::release() {
  if (state_ != LeaseState::active || keeper_ == nullptr) return;
  state_ = LeaseState::released;
  keeper_->lease_released(*this);
}

void LeaseRecord::extend(Duration duration) {
  if (state_ != LeaseState::active) refusal()->raise();
  keeper_->extend_lease(*this, duration);
}

void LeaseRecord::end_queued(const Error& error) {
  for (Job* job = first_; job != nullptr;) {
    Job* const next = job->booking.in_flight_next;
    if (!runs(*job)) (void)pool_->withdraw(*job, error);
    job = next;
  }
}

void LeaseRecord::interrupt_running(const Error& error) {
  for (Job* job = first_; job != nullptr;) {
    Job* const next = job->booking.in_flight_next;
    if (runs(*job)) (void)pool_->interrupt(*job, error);
    job = next;
  }
}

void LeaseRecord::note_stacks() const {
  if (!pool_->can_note_stacks()) return;
  for (const Job* job = first_; job != nullptr; job = job->booking.in_flight_next) {
    if (runs(*job)) pool_->note_stack(*job);
  }
}

std::string LeaseRecord::names_of_running() const {
  std::string names;
  for (const Job* job = first_; job != nullptr; job = job->booking.in_flight_next) {
    if (!runs(*job) || job->booking.ended.load(std::memory_order_relaxed) != TimePoint{}) continue;
    names += (names.empty() ? "" : ", ") + std::string(job->function_name());
  }
  return names;
}

void LeaseRecord::give_up_running(const Error& error) {
  for (Job* job = first_; job != nullptr; job = job->booking.in_flight_next) {
    if (std::exchange(job->booking.delivered, true)) continue;
    ledger_->count_failure(error);
    scheduler->defer(job->take_delivery(error));
  }
}

void LeaseRecord::count(const Job& job) {
  const Error* const error = job.error();
  error == nullptr ? void(++ledger_->completed) : ledger_->count_failure(*error);
  if (!runs(job)) return;
  const TimePoint started = job.booking.started.load(std::memory_order_relaxed);
  ledger_->wait.record(started - job.booking.submitted);
  const TimePoint ended = job.booking.ended.load(std::memory_order_relaxed);
  ledger_->run.record((ended == TimePoint{} ? scheduler->now() : ended) - started);
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
  std::size_t left = ledger_->workers_per_pool;
  for (const Job* job = first_; job != nullptr && left > 0; job = job->booking.in_flight_next) {
    if (!runs(*job)) {
      if (!job->booking.of_batch) --left;
      continue;
    }
    --left;
    stats.running.push_back({.call_id = job->booking.id,
                             .function = std::string(job->function_name()),
                             .running_for = now - job->booking.started.load(std::memory_order_relaxed)});
  }
  stats.calls_running = stats.running.size();
  stats.calls_queued = in_flight_ - stats.calls_running;
  return stats;
}

void LeaseRecord::add(Job& job) noexcept {
  job.booking.in_flight_previous = last_;
  (last_ == nullptr ? first_ : last_->booking.in_flight_next) = &job;
  last_ = &job;
  ++in_flight_;
}

void LeaseRecord::remove(Job& job) noexcept {
  JobBooking& booking = job.booking;
  if (!watched_.empty()) watched_.erase(booking.id);
  (booking.in_flight_previous == nullptr ? first_ : booking.in_flight_previous->booking.in_flight_next) =
      booking.in_flight_next;
  (booking.in_flight_next == nullptr ? last_ : booking.in_flight_next->booking.in_flight_previous) =
      booking.in_flight_previous;
  --in_flight_;
}

// They stand in the order of their ids. Who cancels many goes mostly from one end to the other.
Job* LeaseRecord::find_in_flight(std::uint64_t job_id) const noexcept {
  Job* older = first_;
  Job* newer = last_;
  while (older != nullptr && older->booking.id <= job_id && newer->booking.id >= job_id) {
    if (older->booking.id == job_id) return older;
    if (newer->booking.id == job_id) return newer;
    older = older->booking.in_flight_next;
    newer = newer->booking.in_flight_previous;
  }
  return nullptr;
}

Job* LeaseRecord::find(std::uint64_t job_id) const noexcept {
  const auto found = watched_.find(job_id);
  return found == watched_.end() ? nullptr : found->second;
}

}  // namespace leasepool::detail
