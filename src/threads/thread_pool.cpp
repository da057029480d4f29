// The threads' loop, and every way a thread pool ends.
#include "threads/thread_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "base/block_signals.hpp"
#include "base/check.hpp"
#include "base/clock.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/keep_result.hpp"

namespace leasepool::detail {

namespace {

// The pool whose thread this is; null elsewhere.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): each thread has its own
thread_local const void* current_pool = nullptr;

void name_thread(std::thread& thread, const std::string& name) {
  constexpr std::size_t kMaxThreadName = 15;  // the kernel's limit
  pthread_setname_np(thread.native_handle(), name.substr(0, kMaxThreadName).c_str());
}

class JobStarted final : public Deferred {
 public:
  void set(const std::shared_ptr<JobSink>& lease, std::uint64_t job_id, TimePoint started) noexcept {
    lease_ = lease;
    job_id_ = job_id;
    started_ = started;
  }
  void run() override { lease_->job_started(job_id_, started_); }

 private:
  std::shared_ptr<JobSink> lease_;
  std::uint64_t job_id_ = 0;
  TimePoint started_{};
};

}  // namespace

ThreadPool::ThreadPool(Scheduler& scheduler, const std::shared_ptr<Inbox>& inbox, PoolOptions options)
    : scheduler_(scheduler),
      options_(std::move(options)),
      log_(std::make_shared<LogQueue>(scheduler, options_.log, options_.totals->log)),
      shared_(std::make_shared<Shared>(inbox, std::make_shared<ThreadLogRoute>(inbox, log_, options_.name), options_)) {
}

ThreadPool::~ThreadPool() { check(threads_.empty(), "a thread pool is closed before it is destroyed"); }

void ThreadPool::start(std::move_only_function<void(Result<void>)> ready) {
  check(threads_.empty(), "a thread pool starts once");
  reserve_notices(std::move(ready));
  start_threads();
  if (uninitialized_threads_ == 0) report_start();
}

void ThreadPool::reserve_notices(std::move_only_function<void(Result<void>)> ready) {
  const std::weak_ptr<ThreadPool> weak = weak_from_this();
  threads_.reserve(options_.workers);
  for (ThreadState& thread : shared_->threads) {
    if (options_.initializer) {
      thread.is_initialized = std::make_unique<Notice<void>>([weak](const Result<void>& result) {
        if (const auto self = weak.lock()) self->thread_initialized(result);
      });
    }
    thread.has_finished = std::make_unique<DeferredFunction>([weak] {
      if (const auto self = weak.lock()) self->thread_finished();
    });
  }
  tells_of_close_ = std::make_unique<DeferredFunction>([weak] {
    const auto self = weak.lock();
    if (!self || !self->closed_) return;
    self->self_.reset();
    std::exchange(self->closed_, {})();
  });
  ready_ = std::make_unique<Notice<void>>([weak, ready = std::move(ready)](Result<void> result) mutable {
    const auto self = weak.lock();
    if (self && !self->closing_) ready(std::move(result));
  });
}

void ThreadPool::start_threads() noexcept {
  try {
    const BlockSignals blocked;
    while (threads_.size() < options_.workers) start_thread(threads_.size());
  } catch (...) {  // the system's limits, no memory, or an initializer's arguments that cannot be copied
    start_result_ = std::unexpected(Error::make(Errc::pool_broken, [&] {
      return options_.name + ": thread " + std::to_string(threads_.size() + 1) +
             " of workers_per_pool = " + std::to_string(options_.workers) +
             " cannot be started: " + describe_current_exception() + " (lower workers_per_pool, or raise ulimit -u)";
    }));
  }
  // Also where others could not be started: these are waited for without blocking.
  uninitialized_threads_ = options_.initializer ? threads_.size() : 0;
}

void ThreadPool::start_thread(std::size_t index) {
  {
    const std::lock_guard lock(shared_->mutex);
    ++shared_->running;
  }
  try {
    threads_.emplace_back(thread_main, shared_, options_.initializer, index);
  } catch (...) {
    const std::lock_guard lock(shared_->mutex);
    --shared_->running;
    throw;
  }
  name_thread(threads_.back(), options_.name);
  ++options_.totals->workers_started;
}

// Nothing is left of a start that failed when that is told.
void ThreadPool::report_start() noexcept {
  auto ready = std::move(ready_);
  if (!start_result_) {
    close_now(kNever);  // none of them has anything to run
    closing_ = false;
  }
  ready->set(std::move(start_result_));
  scheduler_.defer(std::move(ready));
}

void ThreadPool::initialize(Shared& shared, const Initializer& initializer, Notice<void>& notice) noexcept {
  try {
    const auto job = Access::make_job(initializer);
    run_with_log(shared, *job);
    if (job->error() == nullptr) return notice.set({});
    notice.set(std::unexpected(Error::make(
        Errc::pool_broken, [&] { return std::string(job->function_name()) + " failed: " + job->error()->message(); })));
  } catch (...) {  // its arguments cannot be copied now
    notice.set(std::unexpected(Error::make(Errc::pool_broken, describe_current_exception)));
  }
}

void ThreadPool::thread_initialized(const Result<void>& result) noexcept {
  if (!result && start_result_) {
    start_result_ = std::unexpected(Error::make(Errc::pool_broken, [&] {
      return options_.name + ": a thread could not be initialized: " + result.error().message();
    }));
  }
  check(uninitialized_threads_ > 0, "a thread is initialized once");
  if (--uninitialized_threads_ == 0 && ready_) report_start();
}

void ThreadPool::submit(std::unique_ptr<Job> job) {
  const TimePoint submitted = job->state.submitted;
  enqueue(std::move(job));
  if (!coalescer_.should_defer(*this, submitted, queue_.size())) flush();
}

void ThreadPool::submit_batch(IntrusiveQueue<Job> jobs) {
  while (!jobs.empty()) enqueue(jobs.pop_front());
  flush();
}

void ThreadPool::enqueue(std::unique_ptr<Job> job) {
  check(!closing_, "a closing pool gets no jobs");
  if (job->state.reports_start && !job->state.start_notice) {
    try {
      job->state.start_notice = std::make_unique<JobStarted>();
    } catch (const std::bad_alloc&) {
      return end_at_lease(std::move(job), Error::out_of_memory());
    }
  }
  job->state.pool = this;
  job->state.waits_in_pool = true;
  last_id_ = std::max(last_id_, job->state.id);
  queue_.push_back(std::move(job));
  shared_->waiting.store(queue_.size(), std::memory_order_relaxed);
  scheduler_.begin_busy_poll(options_.spin);
}

// In order, as far as there is room.
void ThreadPool::flush() {
  coalescer_.flushed();
  bool any = false;
  while (!queue_.empty() && under_way_ < kMaxUnderWay) {
    auto job = queue_.pop_front();
    job->state.waits_in_pool = false;
    check(!has_started(*job), "a job is handed to a thread before it runs");
    job = shared_->ready.push(std::move(job));
    if (job) {
      job->state.waits_in_pool = true;
      queue_.push_front(std::move(job));
      break;
    }
    any = true;
    ++under_way_;
  }
  shared_->waiting.store(queue_.size(), std::memory_order_relaxed);
  if (any) {
    shared_->ready.publish();
    if (shared_->parking.unpark_one()) scheduler_.note_slow_wake();
  }
}

bool ThreadPool::withdraw(Job& job, Error error) {
  if (has_started(job)) return false;
  const bool flushed = !job.state.waits_in_pool;
  std::unique_ptr<Job> taken = flushed ? shared_->ready.recall(job) : queue_.remove(job);
  if (!taken) return false;  // a thread has it
  if (flushed) came_back();
  shared_->waiting.store(queue_.size(), std::memory_order_relaxed);
  job_left();
  end_at_lease(std::move(taken), std::move(error));
  return true;
}

// A job that was handed over.
void ThreadPool::came_back() noexcept {
  check(under_way_ > 0, "a job comes back once");
  --under_way_;
}

void ThreadPool::job_left() {
  scheduler_.end_busy_poll(options_.spin);
  if (!coalescer_.held() && !queue_.empty()) flush();
}

// Threads leave when they find nothing more to do.
void ThreadPool::announce_end() {
  if (shared_->closing.exchange(true)) return;
  shared_->parking.unpark_all();
}

bool ThreadPool::interrupt(Job& job, Error /*error*/) {
  job.state.stop.request_stop();
  return false;
}

bool ThreadPool::would_wait_for_itself() const noexcept {
  if (current_pool != shared_.get()) return false;
  const auto free =
      std::ranges::count_if(shared_->threads, [](const ThreadState& thread) { return thread.running == nullptr; });
  return static_cast<std::size_t>(free) <= shared_->ready.size() + shared_->waiting;
}

void ThreadPool::thread_main(const std::shared_ptr<Shared>& shared, const Initializer& initializer, std::size_t index) {
  current_pool = shared.get();
  ThreadState& own = shared->threads[index];
  if (initializer) {
    initialize(*shared, initializer, *own.is_initialized);
    shared->inbox->post(std::move(own.is_initialized));
  }
  AdaptiveSpin spin(shared->spin);
  TimePoint free_since{};  // as of the last job's end; the next one's begin, if it was there already
  for (;;) {
    auto job = shared->ready.pop();
    if (!job) {
      job = wait_for_job(*shared, spin);
      free_since = {};
    }
    if (!job) break;
    note_running(*shared, own, *job);
    run_job(*shared, *job, free_since == TimePoint{} ? monotonic_now() : free_since);
    free_since = monotonic_now();
    job->state.ended.store(free_since, std::memory_order_relaxed);
    own.running.store(nullptr, std::memory_order_release);
    shared->inbox->hand_back(own.handed_back, std::move(job));
  }
  {
    const std::lock_guard lock(shared->mutex);
    --shared->running;
    shared->finished.notify_all();
  }
  shared->inbox->post(std::move(own.has_finished));
}

// Null when the pool closes and no job is left.
std::unique_ptr<Job> ThreadPool::wait_for_job(Shared& shared, AdaptiveSpin& spin) {
  const auto may_go = [&] { return !shared.ready.empty() || shared.closing.load(); };
  bool spinning = shared.parking.begin_spinning();
  for (;;) {
    if (spinning) {
      (void)spin.spin(may_go);
      if (auto job = shared.ready.pop()) {
        shared.parking.end_spinning();
        if (!shared.ready.empty()) (void)shared.parking.unpark_one();
        return job;
      }
    }
    const FutexBits slot = shared.parking.prepare_park(spinning);
    if (may_go()) {
      spinning = shared.parking.cancel_park();
      if (spinning) continue;
      if (auto job = shared.ready.pop()) {
        if (!shared.ready.empty()) (void)shared.parking.unpark_one();  // who was spared while this one spun
        return job;
      }
      if (shared.closing.load()) return nullptr;
      spinning = shared.parking.begin_spinning();
      continue;
    }
    const TimePoint asleep = monotonic_now();
    shared.parking.park(slot);
    spin.slept(monotonic_now() - asleep);
    spinning = true;
  }
}

// A thread says what it runs, and then looks whether that was aborted; abort() does so the other way round, so that one
// of the two sees the other. That order costs what few jobs need.
void ThreadPool::note_running(const Shared& shared, ThreadState& own, Job& job) noexcept {
  if (!job.state.stop.stop_possible()) return own.running.store(&job, std::memory_order_release);
  own.running.store(&job);
  if (job.state.id <= shared.aborted_through.load()) job.state.stop.request_stop();
}

void ThreadPool::run_job(Shared& shared, Job& job, TimePoint started) noexcept {
  job.state.started.store(started, std::memory_order_relaxed);
  if (job.state.reports_start) {
    check(job.state.start_notice != nullptr, "a job that reports its start has what is reported");
    // submit() made it so. NOLINTNEXTLINE(cppcoreguidelines-pro-type-static-cast-downcast)
    static_cast<JobStarted&>(*job.state.start_notice).set(job.state.lease, job.state.id, started);
    shared.inbox->post(std::move(job.state.start_notice));
  }
  run_with_log(shared, job);
}

void ThreadPool::run_with_log(Shared& shared, Job& job) {
  ThreadLog log(*shared.log, job);
  const ThreadLogTarget target(log);
  job.run();
}

void ThreadPool::job_started(std::uint64_t /*job_id*/, TimePoint /*started*/) {}

void ThreadPool::job_ended(std::unique_ptr<Job> job) {
  came_back();
  shared_->log->fetch();
  job_left();
  end_at_lease(std::move(job));
}

// What no thread has taken.
void ThreadPool::end_waiting(const Error& error) {
  const auto end = [&](std::unique_ptr<Job> job) {
    scheduler_.end_busy_poll(options_.spin);
    end_at_lease(std::move(job), error);
  };
  while (auto job = shared_->ready.pop()) {
    came_back();
    end(std::move(job));
  }
  while (!queue_.empty()) end(queue_.pop_front());
  shared_->waiting.store(0, std::memory_order_relaxed);
}

void ThreadPool::abort(const Error& error, Ended /*ended*/) {
  end_waiting(error);
  shared_->aborted_through.store(last_id_);
  for (const ThreadState& thread : shared_->threads) {
    if (Job* const job = thread.running.load(); job != nullptr) job->state.stop.request_stop();
  }
}

void ThreadPool::drain(const Error& error) noexcept {
  closing_ = true;
  ready_ = {};
  end_waiting(error);
  announce_end();
}

void ThreadPool::close(std::move_only_function<void()> closed) noexcept {
  check(tells_of_close_ != nullptr, "a pool that is closed has started, and has not closed");
  check(!closed_, "a pool is closed once");
  closed_ = std::move(closed);
  self_ = shared_from_this();
  drain(closed_before_begun(options_.name));
  if (finished_threads_ == threads_.size()) finish_close();
}

void ThreadPool::thread_finished() {
  check(finished_threads_ < shared_->threads.size(), "a thread ends once");
  ++finished_threads_;
  if (closed_ && finished_threads_ == threads_.size()) finish_close();
}

void ThreadPool::finish_close() {
  for (std::thread& thread : threads_) thread.join();  // each has left its loop
  say_closed();
}

void ThreadPool::say_closed() {
  check(tells_of_close_ != nullptr, "a pool says once that it has closed");
  threads_.clear();
  shared_->log->fetch();  // in a report, as the sink may do anything
  scheduler_.defer(std::move(tells_of_close_));
}

void ThreadPool::kill() {
  if (!closed_ || !tells_of_close_) return;  // it has closed already
  for (std::thread& thread : threads_) thread.detach();
  say_closed();
}

void ThreadPool::close_now(TimePoint deadline) noexcept {
  drain(closed_before_begun(options_.name));
  bool all_finished = false;
  {
    std::unique_lock lock(shared_->mutex);
    const auto none_running = [this] { return shared_->running == 0; };
    if (deadline == kNever) {
      shared_->finished.wait(lock, none_running);
      all_finished = true;
    } else {
      all_finished = shared_->finished.wait_until(lock, deadline, none_running);
    }
  }
  for (std::thread& thread : threads_) all_finished ? thread.join() : thread.detach();
  threads_.clear();
  closed_ = {};
  const std::shared_ptr<ThreadPool> self = std::move(self_);
  shared_->log->fetch();
  log_->deliver();  // what its user has may be gone when the next turn comes
}

}  // namespace leasepool::detail
