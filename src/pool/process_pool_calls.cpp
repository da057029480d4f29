// A process pool's calls: which worker gets which, and what becomes of one whose worker dies.
#include <algorithm>
#include <ranges>
#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "pool/process_pool.hpp"
#include "pool/symbols.hpp"

namespace leasepool::detail {

namespace {

// A call of which so many workers died before they began it is not given to another.
constexpr std::uint8_t kMostLostStarts = 10;

// Calls that wait behind one which runs longer than this go to workers that are idle. A worker that sleeps is up and
// has begun by then.
constexpr Duration kSlow = 5 * SentCalls::kLongestWaitAhead;

}  // namespace

void ProcessPool::submit(std::unique_ptr<Job> job) {
  check(!closing_, "a closing pool gets no jobs");
  if (broken_) return end_at_lease(std::move(job), {Errc::pool_broken, *broken_});
  const TimePoint submitted = job->booking.submitted;
  enqueue(std::move(job));
  if (!succession_.keeps_back(shared_from_this(), submitted, queue_.size())) dispatch();
}

void ProcessPool::submit_batch(IntrusiveQueue<Job> jobs) {
  check(!closing_, "a closing pool gets no jobs");
  while (!jobs.empty()) {
    auto job = jobs.pop_front();
    broken_ ? end_at_lease(std::move(job), {Errc::pool_broken, *broken_}) : enqueue(std::move(job));
  }
  dispatch();
}

void ProcessPool::enqueue(std::unique_ptr<Job> job) {
  job->booking.waits_in_pool = true;
  queue_.push_back(std::move(job));
}

void ProcessPool::dispatch() {
  succession_.handed_over();
  if (closing_) return;
  while (!queue_.empty() && !idle_.empty()) {
    if (Worker* const awake = spares_wake_up(); awake != nullptr) {
      ahead_ = true;
      if (!awake->has_room()) break;  // it will have soon
      (void)send_front_to(*awake);
    } else if (send_front_to(*idle_.back())) {
      idle_.pop_back();
    }
  }
  if (idle_.empty()) send_ahead();
  if (ahead_for_long_) share_out();
  watch_for_slow_workers();
  for (Worker* const worker : unflushed_) worker->flush();
  unflushed_.clear();
}

// False if it could not be encoded.
bool ProcessPool::send_front_to(Worker& worker) {
  auto job = queue_.pop_front();
  job->booking.waits_in_pool = false;
  Job& sent = *job;
  if (auto error = worker.queue(job)) {
    end_at_lease(std::move(job), std::move(*error));
    return false;
  }
  if (unflushed_.empty() || unflushed_.back() != &worker) unflushed_.push_back(&worker);
  last_used_ = &worker;
  if (worker.job() == &sent) {
    note_start(sent, worker.busy_since());
  } else {
    ahead_ = true;
    ahead_for_long_ = ahead_for_long_ || !worker.is_quick();
  }
  return true;
}

// The worker that is to have the next call although others have nothing to do: quick calls are done sooner by one that
// is awake than another is woken.
Worker* ProcessPool::spares_wake_up() const {
  if (last_used_ == nullptr || last_used_->idle() || queue_.front().booking.of_batch) return nullptr;
  const bool is_soon_done = last_used_->may_have_more() && last_used_->is_quick_with(queue_.size()) &&
                            loop_.turn_time() - last_used_->busy_since() < kSlow;
  return is_soon_done && idle_.back()->sleeps() ? last_used_ : nullptr;
}

// Calls go to workers that are busy, before those ask for them: of a batch as many as there is room for, others where
// what is before them takes less than going back and forth would.
void ProcessPool::send_ahead() {
  if (no_room_ahead_) return;
  while (!queue_.empty()) {
    Worker* const worker = next_with_room(queue_.front());
    if (worker == nullptr) return;
    (void)send_front_to(*worker);
  }
}

// One after the other, so that each gets as many.
Worker* ProcessPool::next_with_room(const Job& job) {
  for (std::size_t looked_at = 0; looked_at < workers_.size(); ++looked_at) {
    next_ahead_ = next_ahead_ + 1 < workers_.size() ? next_ahead_ + 1 : 0;
    Worker& worker = *workers_[next_ahead_];
    if (!worker.idle() && worker.has_room() && (job.booking.of_batch || worker.is_quick())) return &worker;
  }
  no_room_ahead_ = true;  // until one of them has answered, or another came
  return nullptr;
}

// Workers that have nothing to do take over the first half of what waits behind the busiest one that is not quick.
void ProcessPool::share_out() {
  while (queue_.empty() && !idle_.empty()) {
    const auto longest = std::ranges::max_element(
        workers_, {}, [](const auto& worker) { return worker->is_quick() ? 0 : worker->jobs_waiting(); });
    auto taken = (*longest)->take_back_first(((*longest)->jobs_waiting() + 1) / 2);
    if (taken.empty()) {
      ahead_for_long_ = !(*longest)->is_quick() && (*longest)->jobs_waiting() != 0;
      return;
    }
    for (auto& job : taken | std::views::reverse) give_back(std::move(job));
    Worker& worker = *idle_.back();
    bool sent = false;
    while (!queue_.empty() && (worker.idle() || worker.has_room())) sent = send_front_to(worker) || sent;
    if (sent) idle_.pop_back();
  }
}

// As long as somebody has nothing to do while calls wait behind what should be quick.
void ProcessPool::watch_for_slow_workers() {
  if (!ahead_ || relief_ != 0 || idle_.empty()) return;
  relief_ = loop_.call_at(deadline_after(loop_.now(), kSlow), [this] {
    relief_ = 0;
    relieve_slow_workers();
  });
}

// What waits behind a call that turned out slow goes to the head of the queue, in the order in which it came.
void ProcessPool::relieve_slow_workers() {
  if (idle_.empty()) return;  // nobody could take it over; watched again when one can
  ahead_ = !queue_.empty();
  const TimePoint now = loop_.turn_time();
  std::vector<std::unique_ptr<Job>> taken;
  for (const auto& worker : workers_) {
    if (worker->jobs_waiting() == 0) continue;
    if (now - worker->busy_since() < kSlow) {
      ahead_ = true;
    } else {
      std::ranges::move(worker->take_back_first(worker->jobs_waiting()), std::back_inserter(taken));
    }
  }
  std::ranges::sort(taken, {}, [](const auto& job) { return job->booking.id; });
  for (auto& job : taken | std::views::reverse) give_back(std::move(job));
  dispatch();
}

void ProcessPool::nothing_waits() noexcept {
  ahead_ = false;
  ahead_for_long_ = false;
  if (relief_ != 0) loop_.cancel_timer(std::exchange(relief_, 0));
}

void ProcessPool::note_start(Job& job, TimePoint started) {
  job.booking.started.store(started, std::memory_order_relaxed);
  if (job.booking.reports_start) job.booking.lease->job_started(job.booking.id, started);
}

Worker* ProcessPool::holder_of(const Job& job) const {
  const auto found = std::ranges::find_if(workers_, [&](const auto& worker) { return worker->has_job(job); });
  return found == workers_.end() ? nullptr : found->get();
}

// What waits behind the call that a worker runs goes to the head of the queue.
void ProcessPool::take_back_from(Worker& worker) {
  auto taken = worker.take_back_first(worker.jobs_waiting());
  for (auto& job : taken | std::views::reverse) give_back(std::move(job));
}

// A job that has not begun on the worker that it was sent to.
void ProcessPool::give_back(std::unique_ptr<Job> job) {
  if (closing_) return end_at_lease(std::move(job), {Errc::cancelled, options_.name + " closed before the call began"});
  if (broken_) return end_at_lease(std::move(job), {Errc::pool_broken, *broken_});
  job->booking.started.store(TimePoint{}, std::memory_order_relaxed);
  job->booking.waits_in_pool = true;
  Job& waiting = *job;
  queue_.push_front(std::move(job));
  waiting.booking.lease->job_given_back(waiting.booking.id);
}

bool ProcessPool::withdraw(Job& job, Error error) {
  if (job.booking.started.load(std::memory_order_relaxed) != TimePoint{}) return false;
  std::unique_ptr<Job> waiting;
  if (job.booking.waits_in_pool) {
    waiting = queue_.remove(job);
  } else if (Worker* const worker = holder_of(job); worker != nullptr) {
    waiting = worker->take_back(job);
  }
  if (!waiting) {  // begun a moment ago
    note_start(job, loop_.now());
    return false;
  }
  end_at_lease(std::move(waiting), std::move(error));
  return true;
}

bool ProcessPool::interrupt(Job& job, Error error) {
  Worker* const running = holder_of(job);
  check(running != nullptr, "a job that runs is with one of the pool's workers");
  const auto worker = running->shared_from_this();
  if (StackTrace stack = worker->noted_stack(job); !stack.empty()) {
    const std::string where = "; late in its time it was in " + in_a_line(stack);
    error = error.with_message(error.message() + where)
                .with_details(std::make_shared<ErrorDetails>(ErrorDetails{.crash = {}, .stack = std::move(stack)}));
  }
  take_back_from(*worker);
  std::unique_ptr<Job> taken = worker->take_job(job);
  if (!worker->has_jobs()) kill_for_nothing_wanted(*worker);  // else it is between two calls
  end_at_lease(std::move(taken), std::move(error));
  spawn_missing_workers();
  dispatch();
  return true;
}

void ProcessPool::requeue_or_fail(const Worker& worker, std::unique_ptr<Job> job) {
  const bool begun = worker.had_begun(*job);
  if (!begun && ++job->booking.lost_starts < kMostLostStarts) return give_back(std::move(job));
  Error error = crash_error(worker, *job);
  if (!begun) {
    error = error.with_message(options_.name + ": " + std::to_string(kMostLostStarts) +
                               " workers in a row ended before they began " + std::string(job->function_name()) +
                               ", the last: " + worker.describe_end() + "; it has not run");
  }
  log(LogLevel::warning, error.message());
  end_at_lease(std::move(job), std::move(error));
}

Error ProcessPool::crash_error(const Worker& worker, const Job& job) const {
  WorkerCrash crash = worker.report_end(job);
  std::string message = options_.name + ": " + worker.describe_end() + " while running " + crash.function + " (call " +
                        std::to_string(crash.call_id) + "), " + in_milliseconds(crash.ran_for) +
                        " after it was sent; it may have run in part";
  if (!crash.stack.empty()) message += "; it was in " + in_a_line(crash.stack);
  return Error(Errc::worker_crashed, std::move(message))
      .with_details(std::make_shared<ErrorDetails>(ErrorDetails{.crash = std::move(crash), .stack = {}}));
}

}  // namespace leasepool::detail
