// A lease's calls: admitted, timed, cancelled, and handed back.
#include <memory>
#include <new>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "lease/lease_record.hpp"
#include "lease/text.hpp"
#include "leasepool/detail/access.hpp"
#include "loop/kept_timer.hpp"
#include "pool/trace_calls.hpp"

namespace leasepool::detail {

namespace {

// A call's stack is noted when a tenth of its time-out is left.
constexpr int kLateInTimeout = 10;

}  // namespace

void LeaseRecord::submit(std::unique_ptr<Job> job, const CallSettings& settings) {
  const TimePoint now = settings.options.queue_timeout ? scheduler->now() : scheduler->submission_time();
  if (auto admitted = admit(std::move(job), settings, now)) pool_->submit(std::move(admitted));
}

void LeaseRecord::submit_batch(IntrusiveQueue<Job> jobs) {
  IntrusiveQueue<Job> admitted;
  const TimePoint now = scheduler->now();
  while (!jobs.empty()) {
    CallSettings settings;
    settings.options.timeout = jobs.front().state.timeout;
    auto job = admit(jobs.pop_front(), settings, now);
    if (!job) continue;
    job->state.of_batch = true;
    admitted.push_back(std::move(job));
  }
  if (!admitted.empty()) pool_->submit_batch(std::move(admitted));
}

// Takes the job into the lease's books; null if it failed instead.
std::unique_ptr<Job> LeaseRecord::admit(std::unique_ptr<Job> job, const CallSettings& settings,
                                        TimePoint now) noexcept {
  JobState& state = job->state;
  check(state.lease == nullptr, "a call is submitted once");
  if (state.id == 0) state.id = new_call_id();
  state.lease = spare_holds_.take();
  if (!state.lease) state.lease = shared_from_this();
  state.submitted = now;
  if (auto error = refusal()) {
    fail_now(std::move(job), *error);
    return nullptr;
  }
  if (settings.stop.get() != nullptr && settings.stop.get()->stop_requested()) {
    const Error error =
        Error::make(Errc::cancelled, [&] { return cancellation_text(*job) + " before it was submitted"; });
    fail_now(std::move(job), error);
    return nullptr;
  }
  try {
    reserve(*job, settings);
  } catch (const std::bad_alloc&) {
    forget(*job);
    fail_now(std::move(job), Error::out_of_memory());
    return nullptr;
  }
  calls_.add(*job);
  return job;
}

// All that the call may need before it ends. Throws std::bad_alloc.
void LeaseRecord::reserve(Job& job, const CallSettings& settings) {
  JobState& state = job.state;
  state.timeout = settings.options.timeout.value_or(JobState::kNoTimeout);
  state.queue_timeout = settings.options.queue_timeout.value_or(JobState::kNoTimeout);
  state.reports_start = state.timeout != JobState::kNoTimeout;
  const bool bounds_wait = state.queue_timeout != JobState::kNoTimeout;
  if (bounds_wait || state.reports_start) {
    state.timer = keep_timer(*scheduler);
    if (bounds_wait) watch_queue(job);
  }
  if (state.timer != 0) calls_.watch(job);
  if (job.takes_stop_token()) {
    state.stop = std::stop_source();
    state.has_stop = true;
  }
  if (const std::stop_token* const stop = settings.stop.get()) watch_cancellation(job, *stop);
}

void LeaseRecord::forget(Job& job) noexcept {
  calls_.unwatch(job);
  end_watches(job);
}

void LeaseRecord::end_watches(Job& job) noexcept {
  if (job.state.timer != 0) scheduler->cancel_timer(job.state.timer);
  CancellationGroup::remove(job);
}

void LeaseRecord::fail_now(std::unique_ptr<Job> job, const Error& error) noexcept {
  call_stats_->count_failure(error);
  job->fail(Access::not_run(error));
  if (trace()) trace_end(*job);
  job->state.lease.reset();
  hand_out(std::move(job));
}

// What has certainly not run, as the pool was lost, may be wanted back by whoever submitted it.
void LeaseRecord::hand_out(std::unique_ptr<Job> job) noexcept {
  const Error* const error = job->error();
  const bool is_free = error != nullptr && error->code() == Errc::node_lost && !error->may_have_run();
  if (is_free && job->take_back(job)) return;
  scheduler->deliver(std::move(job));
}

void LeaseRecord::watch_cancellation(Job& job, const std::stop_token& token) {
  auto group = last_group_.lock();
  if (!group || !group->has_token(token)) {
    group = CancellationGroup::make(*this, scheduler, token);
    last_group_ = group;
  }
  group->add(job);
}

void LeaseRecord::watch_queue(Job& job) noexcept {
  set_kept_timer(*scheduler, job.state.timer, deadline_after(job.state.submitted, job.state.queue_timeout),
                 [self = shared_from_this(), job_id = job.state.id] { self->queue_time_out(job_id); });
}

void LeaseRecord::queue_time_out(std::uint64_t job_id) {
  Job* const waiting = calls_.watched(job_id);
  if (waiting == nullptr) return;
  set_kept_timer(*scheduler, waiting->state.timer, kPlaceKept, [] {});
  if (has_started(*waiting)) return;
  const Error error = Error::make(Errc::timed_out, [&] {
    return description() + ": " + std::string(waiting->function_name()) +
           " waited for CallOptions::queue_timeout = " + in_words(waiting->state.queue_timeout) +
           ", and none of workers_per_pool = " + std::to_string(call_stats_->workers_per_pool) + " workers came free";
  });
  (void)pool_->withdraw(*waiting, error);
}

void LeaseRecord::cancel_waiting(Job& job) {
  if (job.state.delivered) return;
  (void)pool_->withdraw(job, cancelled(job).not_run);
}

void LeaseRecord::cancel_any(Job& job) {
  const Cancelled& cause = cancelled(job);
  cancel(job, cause.not_run, cause.error);
}

// Calls that are cancelled together are mostly of one function: they share one error.
const LeaseRecord::Cancelled& LeaseRecord::cancelled(const Job& job) noexcept {
  const std::string_view function = job.function_name();
  if (cancelled_ && cancelled_->function == function) return *cancelled_;
  std::string name;
  Error error = Error::without_message(Errc::cancelled);
  try {
    error = Error(Errc::cancelled, cancellation_text(job));
    name = function;
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as far as it went, and tried again by the next
  }
  return cancelled_.emplace(std::move(name), Access::not_run(error), error);
}

void LeaseRecord::cancel_of_batch(std::uint64_t job_id, const Error& error) const {
  if (Job* const job = calls_.find(job_id)) cancel(*job, error, error);
}

void LeaseRecord::cancel(Job& job, const Error& not_run, const Error& error) const {
  if (job.state.delivered) return;
  if (!pool_->withdraw(job, not_run)) pool_->interrupt(job, error);
}

void LeaseRecord::job_started(std::uint64_t job_id, TimePoint started) {
  Job* const job = calls_.watched(job_id);
  if (job == nullptr) return;
  check(job->state.timeout != JobState::kNoTimeout, "a call reports its start for its time-out");
  watch_run(*job, started);  // its wait is over
}

// The bound of its wait, which goes on, may have passed meanwhile.
void LeaseRecord::job_given_back(std::uint64_t job_id) {
  Job* const job = calls_.watched(job_id);
  if (job == nullptr || job->state.timer == 0) return;
  if (job->state.queue_timeout != JobState::kNoTimeout) return watch_queue(*job);
  set_kept_timer(*scheduler, job->state.timer, kPlaceKept, [] {});
}

void LeaseRecord::watch_run(Job& job, TimePoint started) noexcept {
  const Duration timeout = job.state.timeout;
  if (!pool_->can_note_stacks()) {
    set_kept_timer(*scheduler, job.state.timer, deadline_after(started, timeout),
                   [self = shared_from_this(), job_id = job.state.id] { self->run_time_out(job_id); });
    return;
  }
  set_kept_timer(*scheduler, job.state.timer, deadline_after(started, timeout - timeout / kLateInTimeout),
                 [self = shared_from_this(), job_id = job.state.id] { self->run_nearly_time_out(job_id); });
}

void LeaseRecord::run_nearly_time_out(std::uint64_t job_id) {
  Job* const job = calls_.watched(job_id);
  if (job == nullptr || !is_running(*job)) return;
  const TimePoint started = job->state.started.load(std::memory_order_relaxed);
  set_kept_timer(*scheduler, job->state.timer, deadline_after(started, job->state.timeout),
                 [self = shared_from_this(), job_id] { self->run_time_out(job_id); });
  pool_->note_stack(*job);
}

void LeaseRecord::run_time_out(std::uint64_t job_id) {
  Job* const job = calls_.watched(job_id);
  if (job == nullptr) return;
  set_kept_timer(*scheduler, job->state.timer, kPlaceKept, [] {});
  if (!is_running(*job) || job->state.delivered) return;
  const Error error = Error::make(Errc::timed_out, [&] {
    return description() + ": " + std::string(job->function_name()) +
           " ran longer than CallOptions::timeout = " + in_words(job->state.timeout);
  });
  if (!pool_->interrupt(*job, error)) queue_early_outcome(*job, error);
}

// What runs on a thread cannot be ended, but its caller can hear.
void LeaseRecord::queue_early_outcome(Job& job, const Error& error) noexcept {
  JobState& state = job.state;
  if (std::exchange(state.delivered, true)) return;
  call_stats_->count_failure(error);
  state.early_outcome = error;
  (last_early_ == nullptr ? first_early_ : last_early_->state.early_next) = &job;
  last_early_ = &job;
  if (auto queued = tells_early_.to_queue(shared_from_this())) scheduler->defer(std::move(queued));
}

void LeaseRecord::deliver_early_outcomes() {
  struct TellTheRest {  // where a caller throws
    LeaseRecord& record;
    ~TellTheRest() {
      if (record.first_early_ == nullptr) return;
      if (auto queued = record.tells_early_.to_queue(record.shared_from_this()))
        record.scheduler->defer(std::move(queued));
    }
  };
  const TellTheRest tell_the_rest{*this};
  while (first_early_ != nullptr) {
    Job& job = *first_early_;
    Error error = job.state.early_outcome;
    unlink_early(job);
    job.deliver_early(std::move(error));
  }
}

void LeaseRecord::unlink_early(Job& job) noexcept {
  Job* before = nullptr;
  for (Job* at = first_early_; at != &job; at = at->state.early_next) {
    check(at != nullptr, "a call of which a caller is to hear early is among those");
    before = at;
  }
  (before == nullptr ? first_early_ : before->state.early_next) = job.state.early_next;
  if (last_early_ == &job) last_early_ = before;
  job.state.early_next = nullptr;
  job.state.early_outcome = Access::make_no_error<Error>();
}

// What its pool does not.
void LeaseRecord::trace_end(const Job& job) noexcept {
  const TimePoint now = scheduler->now();
  if (!has_started(job)) return trace_wait(*trace(), trace_row, job, now);
  if (!pool_->traces_runs()) trace_run(*trace(), trace_row, trace_row, job, now);
}

void LeaseRecord::job_ended(std::unique_ptr<Job> job) {
  if (trace()) trace_end(*job);
  std::shared_ptr<JobSink> self = std::move(job->state.lease);
  check(self.get() == this, "a call ends at its own lease");
  calls_.remove(*job);
  end_watches(*job);
  if (Access::is_error(job->state.early_outcome)) {  // of which its caller has not heard yet
    Error error = job->state.early_outcome;
    unlink_early(*job);
    job->fail(std::move(error));
    scheduler->deliver(std::move(job));
  } else if (!job->state.delivered) {
    add_lease_context(*job);
    count(*job);
    hand_out(std::move(job));
  }
  if (idle() && state_ == LeaseState::released && observer_ != nullptr) observer_->lease_drained(*this);
  if (state_ == LeaseState::active) spare_holds_.keep(std::move(self));
}

// The layers below know the function and what happened to it, not the lease.
void LeaseRecord::add_lease_context(Job& job) const noexcept {
  const Error* const error = job.error();
  if (error == nullptr || is_lent_on) return;
  const auto code = errc_of(error->code());
  switch (code) {
    case Errc::worker_crashed:
    case Errc::pool_broken:
    case Errc::unregistered_function:
    case Errc::not_serializable:
    case Errc::payload_too_large:
    case Errc::bad_payload:
    case Errc::node_lost:
      return job.fail(Access::with_message(*error, [&] { return description() + ": " + error->message(); }));
    default: return;  // said already, or the function's own
  }
}

}  // namespace leasepool::detail
