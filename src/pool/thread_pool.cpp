// The threads' loop, and every way a thread pool ends.
#include "pool/thread_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"

namespace leasepool::detail {

namespace {

// The pool whose thread this is; null elsewhere.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): each thread has its own
thread_local const void* current_pool = nullptr;

// Signals are for the program's own threads: new threads inherit a share that has only what a thread brings on itself,
// as a crash that is blocked would pass the program's handlers by.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t most;
    sigfillset(&most);
    for (const int signal : {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS}) sigdelset(&most, signal);
    pthread_sigmask(SIG_SETMASK, &most, &before_);
  }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

void name_thread(std::thread& thread, const std::string& name) {
  constexpr std::size_t kLongestThreadName = 15;  // the kernel's limit
  pthread_setname_np(thread.native_handle(), name.substr(0, kLongestThreadName).c_str());
}

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
  ready_ = std::move(ready);
  uninitialized_threads_ = options_.initializer ? options_.workers : 0;
  try {
    const BlockSignals blocked;
    threads_.reserve(options_.workers);
    for (std::size_t i = 0; i < options_.workers; ++i) {
      {
        const std::lock_guard lock(shared_->mutex);
        ++shared_->running;
      }
      try {
        threads_.emplace_back(thread_main, shared_, weak_from_this(), options_.initializer, i);
      } catch (...) {
        const std::lock_guard lock(shared_->mutex);
        --shared_->running;
        throw;
      }
      name_thread(threads_.back(), options_.name);
      ++options_.totals->workers_started;
    }
  } catch (const std::system_error& error) {
    start_result_ = failure(Errc::pool_broken, options_.name + ": thread " + std::to_string(threads_.size() + 1) +
                                                   " of workers_per_pool = " + std::to_string(options_.workers) +
                                                   " cannot be started: " + error.what() +
                                                   " (lower workers_per_pool, or raise ulimit -u)");
    // Those that were started are waited for without blocking.
    uninitialized_threads_ = options_.initializer ? threads_.size() : 0;
  }
  if (uninitialized_threads_ == 0) report_start();
}

// Nothing is left of a start that failed when that is told.
void ThreadPool::report_start() {
  auto ready = std::exchange(ready_, {});
  if (!start_result_) {
    close_now(kNever);  // none of them has anything to run
    closing_ = false;
  }
  scheduler_.defer([self = shared_from_this(), ready = std::move(ready), result = std::move(start_result_)]() mutable {
    if (!self->closing_) ready(std::move(result));
  });
}

void ThreadPool::initialize(Shared& shared, const std::weak_ptr<ThreadPool>& pool, const Initializer& initializer) {
  std::optional<std::string> failure;
  try {
    const auto job = initializer.make_job();
    run_with_log(shared, *job);
    if (job->error() != nullptr) failure = std::string(job->function_name()) + " failed: " + job->error()->message();
  } catch (...) {  // its arguments cannot be copied now
    failure = describe_current_exception();
  }
  shared.inbox->post([pool, failure = std::move(failure)] {
    if (const auto self = pool.lock()) self->thread_initialized(failure);
  });
}

void ThreadPool::thread_initialized(const std::optional<std::string>& failed) {
  if (failed && start_result_) {
    start_result_ = failure(Errc::pool_broken, options_.name + ": a thread could not be initialized: " + *failed);
  }
  if (--uninitialized_threads_ == 0 && ready_) report_start();
}

void ThreadPool::submit(std::unique_ptr<Job> job) {
  const TimePoint submitted = job->booking.submitted;
  enqueue(std::move(job));
  if (!succession_.keeps_back(shared_from_this(), submitted, queue_.size())) hand_over();
}

void ThreadPool::submit_batch(IntrusiveQueue<Job> jobs) {
  while (!jobs.empty()) enqueue(jobs.pop_front());
  hand_over();
}

void ThreadPool::enqueue(std::unique_ptr<Job> job) {
  check(!closing_, "a closing pool gets no jobs");
  job->booking.pool = this;
  job->booking.waits_in_pool = true;
  queue_.push_back(std::move(job));
  shared_->waiting.store(queue_.size(), std::memory_order_relaxed);
  scheduler_.expect(options_.spin);
}

// In order, as far as there is room.
void ThreadPool::hand_over() {
  succession_.handed_over();
  bool any = false;
  while (!queue_.empty() && under_way_ < kMostUnderWay) {
    auto job = queue_.pop_front();
    job->booking.waits_in_pool = false;
    job = shared_->ready.push(std::move(job));
    if (job) {
      job->booking.waits_in_pool = true;
      queue_.push_front(std::move(job));
      break;
    }
    any = true;
    ++under_way_;
  }
  shared_->waiting.store(queue_.size(), std::memory_order_relaxed);
  if (any) {
    shared_->ready.publish();
    if (shared_->parking.wake_one()) scheduler_.woke_worker();
  }
  if (closing_ && queue_.empty()) announce_end();
}

bool ThreadPool::withdraw(Job& job, Error error) {
  if (job.booking.started.load(std::memory_order_relaxed) != TimePoint{}) return false;
  const bool handed_over = !job.booking.waits_in_pool;
  std::unique_ptr<Job> taken = handed_over ? shared_->ready.take_back(job) : queue_.remove(job);
  if (!taken) return false;  // a thread has it
  if (handed_over) --under_way_;
  shared_->waiting.store(queue_.size(), std::memory_order_relaxed);
  job_left();
  end_at_lease(std::move(taken), std::move(error));
  return true;
}

void ThreadPool::job_left() {
  scheduler_.came(options_.spin);
  if (!succession_.held() && (closing_ || !queue_.empty())) hand_over();
}

// Threads leave when they find nothing more to do.
void ThreadPool::announce_end() {
  if (shared_->closing.exchange(true)) return;
  shared_->parking.wake_all();
}

bool ThreadPool::interrupt(Job& job, Error /*error*/) {
  job.booking.stop.request_stop();
  return false;
}

bool ThreadPool::would_wait_for_itself() const noexcept {
  if (current_pool != shared_.get()) return false;
  const auto free = std::ranges::count_if(shared_->threads, [](const ThreadState& thread) { return !thread.busy; });
  return static_cast<std::size_t>(free) <= shared_->ready.size() + shared_->waiting;
}

void ThreadPool::thread_main(const std::shared_ptr<Shared>& shared, const std::weak_ptr<ThreadPool>& pool,
                             const Initializer& initializer, std::size_t index) {
  current_pool = shared.get();
  if (initializer) initialize(*shared, pool, initializer);
  AdaptiveSpin spin(shared->spin);
  std::atomic<bool>& busy = shared->threads[index].busy;
  TimePoint free_since{};  // as of the last job's end; the next one's begin, if it was there already
  for (;;) {
    auto job = shared->ready.pop();
    if (!job) {
      job = wait_for_job(*shared, spin);
      free_since = {};
    }
    if (!job) break;
    busy.store(true, std::memory_order_release);
    run_job(*shared, *job, free_since == TimePoint{} ? monotonic_now() : free_since);
    free_since = monotonic_now();
    job->booking.ended.store(free_since, std::memory_order_relaxed);
    busy.store(false, std::memory_order_release);
    shared->inbox->job_done(shared->threads[index].finished, std::move(job));
  }
  {
    const std::lock_guard lock(shared->mutex);
    --shared->running;
    shared->finished.notify_all();
  }
  shared->inbox->post([pool] {
    if (const auto self = pool.lock()) self->thread_finished();
  });
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
        if (!shared.ready.empty()) (void)shared.parking.wake_one();
        return job;
      }
    }
    const FutexBits bed = shared.parking.lie_down(spinning);
    if (may_go()) {
      spinning = shared.parking.get_up();
      if (spinning) continue;
      if (auto job = shared.ready.pop()) return job;
      if (shared.closing.load()) return nullptr;
      spinning = shared.parking.begin_spinning();
      continue;
    }
    const TimePoint asleep = monotonic_now();
    shared.parking.sleep(bed);
    spin.slept(monotonic_now() - asleep);
    spinning = true;
  }
}

void ThreadPool::run_job(Shared& shared, Job& job, TimePoint started) {
  job.booking.started.store(started, std::memory_order_relaxed);
  if (job.booking.reports_start) {
    shared.inbox->post([lease = job.booking.lease, id = job.booking.id, started] { lease->job_started(id, started); });
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
  --under_way_;
  job_left();
  end_at_lease(std::move(job));
}

void ThreadPool::begin_closing() {
  closing_ = true;
  ready_ = {};
  if (queue_.empty()) announce_end();
}

void ThreadPool::close(std::move_only_function<void()> closed) {
  check(!closed_, "a pool is closed once");
  closed_ = [self = shared_from_this(), closed = std::move(closed)]() mutable { closed(); };
  begin_closing();
  if (finished_threads_ == threads_.size()) finish_close();
}

void ThreadPool::thread_finished() {
  ++finished_threads_;
  if (closed_ && finished_threads_ == threads_.size()) finish_close();
}

void ThreadPool::finish_close() {
  for (std::thread& thread : threads_) thread.join();  // each has left its loop
  threads_.clear();
  scheduler_.defer(std::exchange(closed_, {}));
}

void ThreadPool::kill() {
  if (!closed_) return;  // it has closed already
  for (std::thread& thread : threads_) thread.detach();
  threads_.clear();
  scheduler_.defer(std::exchange(closed_, {}));
}

void ThreadPool::close_now(TimePoint deadline) noexcept {
  queue_.clear();
  begin_closing();
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
  log_->deliver();  // what its user has may be gone when the next turn comes
}

}  // namespace leasepool::detail
