// What the loop does with a pool's threads: starting them, giving them jobs, and taking back what has ended.
#include "threads/thread_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "base/block_signals.hpp"
#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/prefetch.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/keep_result.hpp"

namespace leasepool::detail {

namespace {

// As the pool, with its place behind that: of a long name that is what tells it from others.
void name_thread(std::thread& thread, const std::string& pool, std::size_t place) {
  constexpr std::size_t kMaxThreadName = 15;  // the kernel's limit
  const std::string end = "/" + std::to_string(place);
  pthread_setname_np(thread.native_handle(), (pool.substr(0, kMaxThreadName - end.size()) + end).c_str());
}

}  // namespace

ThreadPool::ThreadPool(LoopCore& loop, PoolOptions options)
    : loop_(loop),
      options_(std::move(options)),
      log_(std::make_shared<LogQueue>(loop, options_.log, options_.totals->log)),
      shared_(std::make_shared<PoolThreads>(
          loop.inbox(), std::make_shared<ThreadLogRoute>(loop.inbox(), log_, options_.name), options_)) {
  handed_.reserve(options_.workers);
}

void ThreadPool::add_workers(std::vector<WorkerStats>& workers) const {
  for (std::size_t index = 0; index < threads_.size(); ++index) {
    const PoolThreads::Own& thread = shared_->each[index];
    WorkerStats& worker = workers.emplace_back();
    worker.pool = options_.name;
    worker.worker_id = index + 1;
    worker.pid = thread.thread_id.load(std::memory_order_relaxed);
    worker.starting = ready_ != nullptr;
    const Job* const job = thread.running.load(std::memory_order_acquire);
    if (job == nullptr) continue;
    const TimePoint started = job->state.started.load(std::memory_order_relaxed);
    if (started == TimePoint{}) continue;
    worker.running = {.call_id = job->state.id,
                      .function = std::string(job->function_name()),
                      .running_for = std::max(loop_.now() - started, Duration::zero()),
                      .pid = worker.pid,
                      .worker_id = worker.worker_id};
  }
}

ThreadPool::~ThreadPool() {
  check(threads_.empty(), "a thread pool is closed before it is destroyed");
  check(handed_.empty() && !looks_, "a loop does not look for what a pool's threads finish that is destroyed");
}

void ThreadPool::start(std::move_only_function<void(Result<void>)> ready) {
  check(threads_.empty(), "a thread pool starts once");
  reserve_notices(std::move(ready));
  start_threads();
  if (uninitialized_threads_ == 0) report_start();
}

void ThreadPool::reserve_notices(std::move_only_function<void(Result<void>)> ready) {
  const std::weak_ptr<ThreadPool> weak = weak_from_this();
  threads_.reserve(options_.workers);
  for (PoolThreads::Own& thread : shared_->each) {
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
    threads_.emplace_back(PoolThread::main, shared_, options_.initializer, index);
  } catch (...) {
    const std::lock_guard lock(shared_->mutex);
    --shared_->running;
    throw;
  }
  name_thread(threads_.back(), options_.name, threads_.size());
  ++options_.totals->workers_started;
  if (options_.trace) trace_start();
}

// Nothing is left of a start that failed when that is told.
void ThreadPool::report_start() noexcept {
  auto ready = std::move(ready_);
  if (!start_result_) {
    close_now(kNever);  // none of them has anything to run
    closing_ = false;
  }
  ready->set(std::move(start_result_));
  loop_.defer(std::move(ready));
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
      return end_before_run(std::move(job), Error::out_of_memory());
    }
  }
  job->state.pool = this;
  job->state.waits_in_pool = true;
  last_id_ = std::max(last_id_, job->state.id);
  queue_.push_back(std::move(job));
  shared_->waiting.store(queue_.size(), std::memory_order_relaxed);
  loop_.begin_busy_poll(options_.spin);
}

// In order, as far as there is room.
void ThreadPool::flush() {
  coalescer_.flushed();
  if (queue_.size() == 1 && hand_over()) return;
  if (hands_over_ && under_way_ + queue_.size() > options_.workers) set_hands_over(false);
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
  flushes_at_ = refill_point();
  if (any) {
    look_for_ends();
    shared_->ready.publish();
    if (shared_->parking.unpark_one()) loop_.note_slow_wake();
  }
}

// Gives the only job that waits to the thread that looks for one, if there is one and nothing is before the job. It has
// then begun as well as if the thread had said so. What asks for more than running goes by the ring; so does what there
// is no room to note, while the loop has not collected what is finished.
bool ThreadPool::hand_over() {
  if (!loop_.in_turn() || under_way_ != handed_.size() || handed_.size() == handed_.capacity()) return false;
  JobState& state = queue_.front().state;
  if (state.reports_start || state.has_stop) return false;
  HandOver<Job>& place = shared_->each[shared_->looks_at_place.load(std::memory_order_relaxed)].place;
  state.waits_in_pool = false;
  state.started.store(state.submitted, std::memory_order_relaxed);
  if (!place.hand(queue_.front())) {
    state.waits_in_pool = true;
    state.started.store(TimePoint{}, std::memory_order_relaxed);
    return false;
  }
  look_for_ends();
  handed_.push_back({.place = &place, .job = queue_.pop_front().release()});
  ++under_way_;
  shared_->waiting.store(0, std::memory_order_relaxed);
  return true;
}

// Until the loop sleeps, for the ends of what was handed over or put into the ring. Outside of a turn it may be asleep,
// and is called.
void ThreadPool::look_for_ends() noexcept {
  if (!loop_.in_turn()) return;
  if (!std::exchange(looks_, true)) loop_.watch(*this);
  if (looks_into_rings_ || !hands_over_ || options_.workers > kMostLookedAt) return;
  looks_into_rings_ = true;
  for (const PoolThreads::Own& thread : shared_->each) thread.handed_back->ring.watch();
}

// Threads call the loop. Returns whether some have handed back something that was seen by looking alone.
bool ThreadPool::leave_rings() noexcept {
  bool any = false;
  for (const PoolThreads::Own& thread : shared_->each) any = thread.handed_back->ring.unwatch() || any;
  return any;
}

bool ThreadPool::pure_poll() const noexcept { return first_ended() != nullptr; }

TimePoint ThreadPool::came_at() const noexcept {
  const Job* const job = first_ended();
  return job == nullptr ? TimePoint{} : job->state.ended.load(std::memory_order_relaxed);
}

// Of those for which the loop looks: any one.
const Job* ThreadPool::first_ended() const noexcept {
  for (const Handed& handed : handed_) {
    if (handed.place->finished(*handed.job)) return handed.job;
  }
  if (!looks_into_rings_) return nullptr;
  for (const PoolThreads::Own& thread : shared_->each) {
    // They hand back jobs. NOLINTNEXTLINE(cppcoreguidelines-pro-type-static-cast-downcast)
    if (const auto* const job = static_cast<const Job*>(thread.handed_back->ring.ready())) return job;
  }
  return nullptr;
}

// What a thread was handed ended before what it took from the ring: as long as that has something, nothing is handed.
void ThreadPool::collect() {
  IntrusiveQueue<Deliverable> of_rings;
  if (looks_into_rings_) {
    for (const PoolThreads::Own& thread : shared_->each) {
      while (auto ended = thread.handed_back->ring.pop()) of_rings.push_back(std::move(ended));
    }
  }
  if (looks_into_rings_ && !hands_over_) looks_into_rings_ = leave_rings();
  IntrusiveQueue<Deliverable> ended = take_finished();
  ended.append(std::move(of_rings));
  end_jobs(std::move(ended));
}

// Of what was handed over.
IntrusiveQueue<Deliverable> ThreadPool::take_finished() noexcept {
  IntrusiveQueue<Deliverable> finished;
  std::erase_if(handed_, [&](const Handed& handed) {
    if (!handed.place->finished(*handed.job)) return false;
    prefetch_element(handed.job);
    finished.push_back(std::unique_ptr<Deliverable>(handed.job));
    return true;
  });
  return finished;
}

// The end of the last one may be this pool's.
void ThreadPool::end_jobs(IntrusiveQueue<Deliverable> ended) {
  for (std::size_t left = ended.size(); left > 0; --left) {
    // Threads get jobs alone. NOLINTNEXTLINE(cppcoreguidelines-pro-type-static-cast-downcast)
    end_job(std::unique_ptr<Job>(static_cast<Job*>(ended.pop_front().release())));
  }
}

// Threads hand back what they were handed, and call the loop. False if something has ended already.
bool ThreadPool::try_enter_interrupt_mode() noexcept {
  std::erase_if(handed_, [](const Handed& handed) { return handed.place->leave(*handed.job); });
  if (looks_into_rings_) looks_into_rings_ = leave_rings();
  is_called_ = handed_.empty() && !looks_into_rings_;
  return is_called_;
}

// What is under way by then comes by a call.
void ThreadPool::exit_interrupt_mode() noexcept {
  if (!std::exchange(is_called_, false)) return;
  looks_ = false;
  loop_.unwatch(*this);
}

// For good.
void ThreadPool::look_no_more() {
  if (!looks_) return;
  while (!try_enter_interrupt_mode()) collect();
  exit_interrupt_mode();
}

bool ThreadPool::withdraw(Job& job, const Error& error) {
  if (has_started(job)) return false;
  const bool flushed = !job.state.waits_in_pool;
  std::unique_ptr<Job> taken = flushed ? shared_->ready.recall(job) : queue_.remove(job);
  if (!taken) return false;  // a thread has it
  shared_->waiting.store(queue_.size(), std::memory_order_relaxed);
  if (flushed) {
    came_back();
    job_left();
  } else {
    loop_.end_busy_poll(options_.spin);  // what waits behind it waits for the same: no place has come free
  }
  end_before_run(std::move(taken), error);
  return true;
}

// A job that was handed over.
void ThreadPool::came_back() noexcept {
  check(under_way_ > 0, "a job comes back once");
  if (--under_way_ == 0 && !hands_over_) set_hands_over(true);
}

// While more jobs are under way than there are threads, those take them from the ring.
void ThreadPool::set_hands_over(bool some) noexcept {
  hands_over_ = some;
  shared_->hands_over.store(some, std::memory_order_relaxed);
}

void ThreadPool::job_left() {
  loop_.end_busy_poll(options_.spin);
  if (!coalescer_.held() && !queue_.empty() && under_way_ <= flushes_at_) flush();
}

// A ring that was full is filled again when a good part of it may be empty: each look for room takes the line that its
// consumers write to. Threads that find it empty before that are quicker than the loop, which then has more ends to
// deliver than it waits for here, unless there are about as many threads as places.
std::size_t ThreadPool::refill_point() const noexcept {
  constexpr std::size_t kTogether = 64;
  const bool has_many_threads = options_.workers >= kTogether;
  return queue_.empty() || has_many_threads || under_way_ < kTogether ? kMaxUnderWay : under_way_ - kTogether;
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
  if (!PoolThread::is_one_of(*shared_)) return false;
  const auto free =
      std::ranges::count_if(shared_->each, [](const PoolThreads::Own& own) { return own.running == nullptr; });
  return static_cast<std::size_t>(free) <= shared_->ready.size() + shared_->waiting;
}

void ThreadPool::job_started(std::uint64_t /*job_id*/, TimePoint /*started*/) {}

// By way of the inbox. What the same thread was handed before ended before.
void ThreadPool::job_ended(std::unique_ptr<Job> job) {
  end_jobs(take_finished());
  end_job(std::move(job));
}

void ThreadPool::end_job(std::unique_ptr<Job> job) {
  came_back();
  shared_->log->fetch();
  job_left();
  if (options_.trace) trace_end(*job);
  end_at_lease(std::move(job));
}

}  // namespace leasepool::detail
