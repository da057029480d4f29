// A process pool's calls: which worker gets which, and what becomes of one whose worker dies.
#include <algorithm>
#include <ranges>
#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "processes/process_pool.hpp"
#include "shared/symbols.hpp"

namespace leasepool::detail {

namespace {

// A call of which so many workers died before they began it is not given to another.
constexpr std::uint8_t kMaxLostStarts = 10;

// Calls that wait behind one which runs longer than this go to workers that are idle. A worker that sleeps is up and
// has begun by then.
constexpr Duration kSlow = 5 * SentCalls::kMaxPrefetchWait;

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

void ProcessPool::submit(std::unique_ptr<Job> job) {
  check(!closing_, "a closing pool gets no jobs");
  if (broken_) return end_at_lease(std::move(job), *broken_);
  const TimePoint submitted = job->state.submitted;
  enqueue(std::move(job));
  if (!coalescer_.should_defer(shared_from_this(), submitted, queue_.size())) dispatch();
}

void ProcessPool::submit_batch(IntrusiveQueue<Job> jobs) {
  check(!closing_, "a closing pool gets no jobs");
  while (!jobs.empty()) {
    auto job = jobs.pop_front();
    broken_ ? end_at_lease(std::move(job), *broken_) : enqueue(std::move(job));
  }
  dispatch();
}

void ProcessPool::enqueue(std::unique_ptr<Job> job) {
  job->state.waits_in_pool = true;
  queue_.push_back(std::move(job));
}

void ProcessPool::dispatch() {
  coalescer_.flushed();
  if (closing_) return;
  while (!queue_.empty() && !idle_.empty()) {
    if (Worker* const awake = preferred_awake_worker(); awake != nullptr) {
      prefetched_ = true;
      if (!awake->has_room()) break;  // it will have soon
      (void)send_front_to(*awake);
    } else if (send_front_to(*idle_.back())) {
      idle_.pop_back();
    }
  }
  if (idle_.empty()) prefetch();
  if (prefetched_behind_slow_) steal_from_busiest();
  watch_for_stragglers();
  for (Worker* const worker : unflushed_) worker->flush();
  unflushed_.clear();
}

// False if it could not be encoded.
bool ProcessPool::send_front_to(Worker& worker) {
  auto job = queue_.pop_front();
  job->state.waits_in_pool = false;
  Job& sent = *job;
  if (auto error = worker.queue(job)) {
    end_at_lease(std::move(job), std::move(*error));
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

// The worker that is to have the next call although others have nothing to do: quick calls are done sooner by one that
// is awake than another is woken.
Worker* ProcessPool::preferred_awake_worker() const {
  if (last_used_ == nullptr || last_used_->idle() || queue_.front().state.of_batch) return nullptr;
  const bool is_soon_done = last_used_->may_have_more() && last_used_->is_quick_with(queue_.size()) &&
                            loop_.turn_time() - last_used_->busy_since() < kSlow;
  return is_soon_done && idle_.back()->sleeps() ? last_used_ : nullptr;
}

// Calls go to workers that are busy, before those ask for them: of a batch as many as there is room for, others where
// what is before them takes less than going back and forth would.
void ProcessPool::prefetch() {
  if (no_credit_) return;
  while (!queue_.empty()) {
    Worker* const worker = next_with_credit(queue_.front());
    if (worker == nullptr) return;
    (void)send_front_to(*worker);
  }
}

// One after the other, so that each gets as many.
Worker* ProcessPool::next_with_credit(const Job& job) {
  for (std::size_t looked_at = 0; looked_at < workers_.size(); ++looked_at) {
    next_to_prefetch_ = next_to_prefetch_ + 1 < workers_.size() ? next_to_prefetch_ + 1 : 0;
    Worker& worker = *workers_[next_to_prefetch_];
    if (!worker.idle() && worker.has_room() && (job.state.of_batch || worker.is_quick())) return &worker;
  }
  no_credit_ = true;  // until one of them has answered, or another came
  return nullptr;
}

// Workers that have nothing to do take over the first half of what waits behind the busiest one that is not quick.
void ProcessPool::steal_from_busiest() {
  while (queue_.empty() && !idle_.empty()) {
    const auto longest = std::ranges::max_element(
        workers_, {}, [](const auto& worker) { return worker->is_quick() ? 0 : worker->jobs_waiting(); });
    auto taken = (*longest)->recall_first(((*longest)->jobs_waiting() + 1) / 2);
    if (taken.empty()) {
      prefetched_behind_slow_ = !(*longest)->is_quick() && (*longest)->jobs_waiting() != 0;
      return;
    }
    while (!taken.empty()) requeue_front(taken.pop_back());
    Worker& worker = *idle_.back();
    bool sent = false;
    while (!queue_.empty() && (worker.idle() || worker.has_room())) sent = send_front_to(worker) || sent;
    if (sent) idle_.pop_back();
  }
}

// As long as somebody has nothing to do while calls wait behind what should be quick.
void ProcessPool::watch_for_stragglers() {
  if (!prefetched_ || recall_timer_.is_set() || idle_.empty()) return;
  recall_timer_.set(deadline_after(loop_.now(), kSlow), [this] {
    recall_timer_.came();
    recall_from_stragglers();
  });
}

// What waits behind a call that turned out slow goes to the head of the queue, in the order in which it came.
void ProcessPool::recall_from_stragglers() {
  if (idle_.empty()) return;  // nobody could take it over; watched again when one can
  prefetched_ = !queue_.empty();
  const TimePoint now = loop_.turn_time();
  IntrusiveQueue<Job> taken;
  for (const auto& worker : workers_) {
    if (worker->jobs_waiting() == 0) continue;
    if (now - worker->busy_since() < kSlow) {
      prefetched_ = true;
    } else {
      taken = in_order(std::move(taken), worker->recall_first(worker->jobs_waiting()));
    }
  }
  while (!taken.empty()) requeue_front(taken.pop_back());
  dispatch();
}

void ProcessPool::disarm_recall_timer() noexcept {
  prefetched_ = false;
  prefetched_behind_slow_ = false;
  recall_timer_.unset();
}

void ProcessPool::mark_started(Job& job, TimePoint started) {
  job.state.started.store(started, std::memory_order_relaxed);
  if (job.state.reports_start) job.state.lease->job_started(job.state.id, started);
}

Worker* ProcessPool::holder_of(const Job& job) const {
  const auto found = std::ranges::find_if(workers_, [&](const auto& worker) { return worker->has_job(job); });
  return found == workers_.end() ? nullptr : found->get();
}

// What waits behind the call that a worker runs goes to the head of the queue.
void ProcessPool::recall_from(Worker& worker) {
  auto taken = worker.recall_first(worker.jobs_waiting());
  while (!taken.empty()) requeue_front(taken.pop_back());
}

// A job that has not begun on the worker that it was sent to.
void ProcessPool::requeue_front(std::unique_ptr<Job> job) {
  if (closing_) return end_before_begun(std::move(job), options_.name);
  if (broken_) return end_at_lease(std::move(job), *broken_);
  job->state.started.store(TimePoint{}, std::memory_order_relaxed);
  job->state.waits_in_pool = true;
  Job& waiting = *job;
  queue_.push_front(std::move(job));
  waiting.state.lease->job_given_back(waiting.state.id);
}

bool ProcessPool::withdraw(Job& job, Error error) {
  if (job.state.started.load(std::memory_order_relaxed) != TimePoint{}) return false;
  std::unique_ptr<Job> waiting;
  if (job.state.waits_in_pool) {
    waiting = queue_.remove(job);
  } else if (Worker* const worker = holder_of(job); worker != nullptr) {
    waiting = worker->recall(job);
  }
  if (!waiting) {  // begun a moment ago
    mark_started(job, loop_.now());
    return false;
  }
  end_at_lease(std::move(waiting), std::move(error));
  return true;
}

bool ProcessPool::interrupt(Job& job, Error error) {
  if (const auto decoding = decoding_of(job)) {  // the function has ended: there is nothing to kill
    auto taken = take_job_from(decoding);
    abandon(decoding);
    end_at_lease(std::move(taken), std::move(error));
    return true;
  }
  Worker* const running = holder_of(job);
  check(running != nullptr, "a job that runs is with one of the pool's workers");
  const auto worker = running->shared_from_this();
  try {
    if (StackTrace stack = worker->noted_stack(job); !stack.empty()) {
      const std::string where = "; late in its time it was in " + in_a_line(stack);
      error = error.with_message(error.message() + where)
                  .with_details(std::make_shared<ErrorDetails>(ErrorDetails{.crash = {}, .stack = std::move(stack)}));
    }
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then the error says less
  }
  recall_from(*worker);
  std::unique_ptr<Job> taken = worker->take_job(job);
  if (!worker->has_jobs()) kill_abandoned(*worker);  // else it is between two calls
  end_at_lease(std::move(taken), std::move(error));
  spawn_missing_workers();
  dispatch();
  return true;
}

void ProcessPool::requeue_or_fail(const Worker& worker, std::unique_ptr<Job> job) {
  const bool begun = worker.had_begun(*job);
  if (!begun && ++job->state.lost_starts < kMaxLostStarts) return requeue_front(std::move(job));
  Error error = crash_error(worker, *job);
  if (!begun) {
    error = error.with_message([&] {
      return options_.name + ": " + std::to_string(kMaxLostStarts) + " workers in a row ended before they began " +
             std::string(job->function_name()) + ", the last: " + worker.describe_end() + "; it has not run";
    });
  }
  log(LogLevel::warning, [&] { return error.message(); });
  end_at_lease(std::move(job), std::move(error));
}

Error ProcessPool::crash_error(const Worker& worker, const Job& job) const noexcept {
  try {
    WorkerCrash crash = worker.report_end(job);
    std::string message = options_.name + ": " + worker.describe_end() + " while running " + crash.function +
                          " (call " + std::to_string(crash.call_id) + "), " + in_milliseconds(crash.ran_for) +
                          " after it was sent; it may have run in part";
    if (!crash.stack.empty()) message += "; it was in " + in_a_line(crash.stack);
    return Error(Errc::worker_crashed, std::move(message))
        .with_details(std::make_shared<ErrorDetails>(ErrorDetails{.crash = std::move(crash), .stack = {}}));
  } catch (const std::bad_alloc&) {
    return Error::without_message(Errc::worker_crashed);
  }
}

}  // namespace leasepool::detail
