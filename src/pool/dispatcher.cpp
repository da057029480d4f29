// Handing over, prefetching, stealing and recalling.
#include "pool/dispatcher.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "leasepool/detail/access.hpp"

namespace leasepool::detail {

namespace {

// Calls that wait behind one which runs longer than this go to workers that are idle. A worker that sleeps is up and
// has begun by then.
constexpr Duration kSlow = 5 * WorkerPort::kMaxPrefetchWait;

void mark_started(Job& job, TimePoint started) {
  job.state.started.store(started, std::memory_order_relaxed);
  if (job.state.reports_start) job.state.lease->job_started(job.state.id, started);
}

// Two lines of calls made one, in the order in which they were submitted.
IntrusiveQueue<Job> in_order(IntrusiveQueue<Job> left, IntrusiveQueue<Job> right) noexcept {
  IntrusiveQueue<Job> both;
  while (!left.empty() && !right.empty()) {
    both.push_back(left.front().state.id < right.front().state.id ? left.pop_front() : right.pop_front());
  }
  both.append(std::move(left));
  both.append(std::move(right));
  return both;
}

}  // namespace

void Dispatcher::reserve(std::size_t workers) {
  recall_timer_.keep();
  workers_.reserve(workers);
  idle_.reserve(workers);
  unflushed_.reserve(workers);
}

void Dispatcher::join(WorkerPort& worker) noexcept {
  check(workers_.size() < workers_.capacity(), "there is room for each worker that joins");
  check(worker.idle(), "a worker joins without calls");
  workers_.push_back(&worker);
  became_idle(worker);
}

void Dispatcher::leave(WorkerPort& worker) noexcept {
  if (std::erase(workers_, &worker) == 0) return;
  std::erase(idle_, &worker);
  if (last_used_ == &worker) last_used_ = nullptr;
}

bool Dispatcher::serves(const WorkerPort& worker) const noexcept {
  return std::ranges::find(workers_, &worker) != workers_.end();
}

void Dispatcher::submit(std::unique_ptr<Job> job) {
  if (refusal_) return end_before_run(std::move(job), *refusal_);
  const TimePoint submitted = job->state.submitted;
  enqueue(std::move(job));
  if (!coalescer_.should_defer(*this, submitted, queue_.size())) dispatch();
}

void Dispatcher::submit_batch(IntrusiveQueue<Job> jobs) {
  while (!jobs.empty()) {
    auto job = jobs.pop_front();
    refusal_ ? end_before_run(std::move(job), *refusal_) : enqueue(std::move(job));
  }
  dispatch();
}

void Dispatcher::enqueue(std::unique_ptr<Job> job) noexcept {
  check(!job->state.waits_in_pool, "a job is queued once");
  check(!has_started(*job), "a job that is queued has not started");
  job->state.waits_in_pool = true;
  queue_.push_back(std::move(job));
}

void Dispatcher::answered(WorkerPort& worker) {
  check(!worker.idle(), "a worker that has answered its last call is idle");
  no_credit_ = false;
  Job* const next = worker.job();
  if (next != nullptr && !has_started(*next)) mark_started(*next, worker.busy_since());
}

void Dispatcher::became_idle(WorkerPort& worker) noexcept {
  check(std::ranges::find(idle_, &worker) == idle_.end(), "a worker becomes idle once");
  no_credit_ = false;
  check(worker.idle(), "a worker that becomes idle has no calls");
  idle_.push_back(&worker);
  check(idle_.size() <= workers_.size(), "no more workers are idle than there are");
  if (idle_.size() == workers_.size() && queue_.empty()) disarm_recall_timer();
}

void Dispatcher::dispatch() {
  coalescer_.flushed();
  if (refusal_) return;
  while (!queue_.empty() && !idle_.empty()) {
    if (WorkerPort* const awake = preferred_awake_worker(); awake != nullptr) {
      prefetched_ = true;
      if (!awake->has_credit()) break;  // it will have soon
      (void)send_front_to(*awake);
    } else if (send_front_to(*idle_.back())) {
      idle_.pop_back();
    }
  }
  if (idle_.empty()) prefetch();
  if (prefetched_behind_slow_) steal_from_busiest();
  watch_for_stragglers();
  for (WorkerPort* const worker : unflushed_) worker->flush();
  unflushed_.clear();
}

// False if it could not be encoded.
bool Dispatcher::send_front_to(WorkerPort& worker) {
  auto job = queue_.pop_front();
  check(std::exchange(job->state.waits_in_pool, false), "what is in the queue waits in the pool");
  Job& sent = *job;
  if (auto error = worker.queue(job)) {
    end_before_run(std::move(job), *error);
    return false;
  }
  if (std::ranges::find(unflushed_, &worker) == unflushed_.end()) unflushed_.push_back(&worker);
  last_used_ = &worker;
  if (worker.job() == &sent) {
    mark_started(sent, worker.busy_since());
  } else {
    prefetched_ = true;
    prefetched_behind_slow_ = prefetched_behind_slow_ || !worker.is_quick();
  }
  return true;
}

// What it runs was to be quick, and is not.
bool Dispatcher::is_overdue(const WorkerPort& worker) const {
  return scheduler_.turn_time() - worker.busy_since() >= kSlow;
}

// The worker that is to have the next call although others have nothing to do: quick calls are done sooner by one that
// is awake than another is woken. Where even as many as it takes at a time are quick, one worker does them faster than
// the loop hands them out, and a second would speed up nothing, however many wait.
WorkerPort* Dispatcher::preferred_awake_worker() const {
  if (last_used_ == nullptr || last_used_->idle() || queue_.front().state.of_batch) return nullptr;
  if (!last_used_->may_have_more() || is_overdue(*last_used_)) return nullptr;
  if (last_used_->is_quick_when_full()) return last_used_;
  return last_used_->is_quick_with(queue_.size()) && idle_.back()->sleeps() ? last_used_ : nullptr;
}

// Calls go to workers that are busy, before those ask for them: of a batch as many as there is room for, others where
// what is before them takes less than going back and forth would.
void Dispatcher::prefetch() {
  if (no_credit_) return;
  while (!queue_.empty()) {
    WorkerPort* const worker = next_with_credit(queue_.front());
    if (worker == nullptr) return;
    (void)send_front_to(*worker);
  }
}

// One after the other, so that each gets as many.
WorkerPort* Dispatcher::next_with_credit(const Job& job) noexcept {
  for (std::size_t looked_at = 0; looked_at < workers_.size(); ++looked_at) {
    next_to_prefetch_ = next_to_prefetch_ + 1 < workers_.size() ? next_to_prefetch_ + 1 : 0;
    WorkerPort& worker = *workers_[next_to_prefetch_];
    if (worker.idle() || !worker.has_credit()) continue;
    if (job.state.of_batch || (worker.is_quick() && !is_overdue(worker))) return &worker;
  }
  no_credit_ = true;  // until one of them has answered, or another came
  return nullptr;
}

// Workers that have nothing to do take over the first half of what waits behind the busiest one that is not quick.
void Dispatcher::steal_from_busiest() {
  while (queue_.empty() && !idle_.empty()) {
    WorkerPort& busiest = **std::ranges::max_element(
        workers_, {}, [](const WorkerPort* worker) { return worker->is_quick() ? 0 : worker->jobs_waiting(); });
    auto taken = busiest.recall_first((busiest.jobs_waiting() + 1) / 2);
    if (taken.empty()) {
      prefetched_behind_slow_ = !busiest.is_quick() && busiest.jobs_waiting() != 0;
      return;
    }
    while (!taken.empty()) requeue_front(taken.pop_back());
    WorkerPort& worker = *idle_.back();
    bool sent = false;
    while (!queue_.empty() && (worker.idle() || worker.has_credit())) sent = send_front_to(worker) || sent;
    if (sent) idle_.pop_back();
  }
}

// As long as somebody has nothing to do while calls wait behind what should be quick.
void Dispatcher::watch_for_stragglers() {
  if (!prefetched_ || recall_timer_.is_set() || idle_.empty()) return;
  recall_timer_.set(deadline_after(scheduler_.now(), kSlow), [this] {
    recall_timer_.came();
    recall_from_stragglers();
  });
}

// What waits behind a call that turned out slow goes to the head of the queue, in the order in which it came.
void Dispatcher::recall_from_stragglers() {
  if (idle_.empty()) return;  // nobody could take it over; watched again when one can
  prefetched_ = !queue_.empty();
  IntrusiveQueue<Job> taken;
  for (WorkerPort* const worker : workers_) {
    if (worker->jobs_waiting() == 0) continue;
    if (is_overdue(*worker)) {
      taken = in_order(std::move(taken), worker->recall_first(worker->jobs_waiting()));
    } else {
      prefetched_ = true;
    }
  }
  while (!taken.empty()) requeue_front(taken.pop_back());
  dispatch();
}

void Dispatcher::disarm_recall_timer() noexcept {
  prefetched_ = false;
  prefetched_behind_slow_ = false;
  recall_timer_.unset();
}

void Dispatcher::recall_from(WorkerPort& worker) {
  auto taken = worker.recall_first(worker.jobs_waiting());
  while (!taken.empty()) requeue_front(taken.pop_back());
}

void Dispatcher::requeue_front(std::unique_ptr<Job> job) {
  if (refusal_) return end_before_run(std::move(job), *refusal_);
  job->state.started.store(TimePoint{}, std::memory_order_relaxed);
  job->state.waits_in_pool = true;
  Job& waiting = *job;
  queue_.push_front(std::move(job));
  waiting.state.lease->job_given_back(waiting.state.id);
}

bool Dispatcher::withdraw(Job& job, const Error& error) {
  if (has_started(job)) return false;
  std::unique_ptr<Job> waiting;
  if (job.state.waits_in_pool) {
    waiting = queue_.remove(job);
  } else {
    const auto holder = std::ranges::find_if(workers_, [&](const WorkerPort* worker) { return worker->has_job(job); });
    if (holder != workers_.end()) waiting = (*holder)->recall(job);
  }
  if (!waiting) {  // begun a moment ago
    mark_started(job, scheduler_.now());
    return false;
  }
  end_before_run(std::move(waiting), error);
  return true;
}

void Dispatcher::end_waiting(const Error& error) {
  IntrusiveQueue<Job> waiting;
  for (WorkerPort* const worker : workers_) {
    waiting = in_order(std::move(waiting), worker->recall_first(worker->jobs_waiting()));
  }
  waiting = in_order(std::move(waiting), std::move(queue_));
  const Error not_run = waiting.empty() ? error : Access::not_run(error);
  while (!waiting.empty()) end_at_lease(waiting.pop_front(), not_run);
}

void Dispatcher::refuse(const Error& error) {
  if (!refusal_) refusal_ = error;
  end_waiting(*refusal_);
}

void Dispatcher::close() noexcept {
  check(queue_.empty(), "a dispatcher that closes has no jobs");
  check(unflushed_.empty(), "a dispatcher does not close while it hands over");
  workers_.clear();
  idle_.clear();
  last_used_ = nullptr;
  recall_timer_.disarm();
}

void Dispatcher::check_consistency() const noexcept {
  for (const WorkerPort* const worker : idle_) {
    check(worker->idle(), "a worker that is kept as idle has no calls");
    check(std::ranges::count(idle_, worker) == 1, "a worker is idle once");
    check(std::ranges::count(workers_, worker) == 1, "a worker that is idle has joined, once");
  }
  check(unflushed_.empty(), "what was handed over is on its way");
  check(last_used_ == nullptr || std::ranges::count(workers_, last_used_) == 1, "who was used last has not left");
}

}  // namespace leasepool::detail
