// A thread's loop: looking, running, giving back, sleeping.
#include "threads/pool_thread.hpp"

#include <algorithm>
#include <string>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/prefetch.hpp"
#include "base/worker_values.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/keep_result.hpp"

namespace leasepool::detail {

namespace {

// The pool whose thread this is; null elsewhere.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): each thread has its own
thread_local const PoolThreads* current_pool = nullptr;

}  // namespace

bool PoolThread::is_one_of(const PoolThreads& threads) noexcept { return current_pool == &threads; }

void PoolThread::main(const std::shared_ptr<PoolThreads>& shared, const Initializer& initializer, std::size_t index) {
  current_pool = shared.get();
  PoolThread self(*shared, index);
  self.own_.thread_id.store(::gettid(), std::memory_order_relaxed);
  {
    WorkerValues values;
    const WorkerValues::OnThisThread here(values);
    if (initializer) self.initialize(initializer);
    self.serve();
  }
  {
    const std::lock_guard lock(shared->mutex);
    --shared->running;
    shared->finished.notify_all();
  }
  shared->inbox->post(std::move(self.own_.has_finished));
}

void PoolThread::initialize(const Initializer& initializer) noexcept {
  Notice<void>& notice = *own_.is_initialized;
  try {
    const auto job = Access::make_job(initializer);
    run_with_log(*job);
    if (job->error() == nullptr) {
      notice.set({});
    } else {
      notice.set(std::unexpected(Error::make(Errc::pool_broken, [&] {
        return std::string(job->function_name()) + " failed: " + job->error()->message();
      })));
    }
  } catch (...) {  // its arguments cannot be copied now
    notice.set(std::unexpected(Error::make(Errc::pool_broken, describe_current_exception)));
  }
  shared_.inbox->post(std::move(own_.is_initialized));
}

void PoolThread::serve() {
  while (Job* const job = next_job()) {
    note_running(*job);
    run(*job);
    free_since_ = monotonic_now();
    job->state.ended.store(free_since_, std::memory_order_relaxed);
    own_.running.store(nullptr, std::memory_order_release);
    give_back(*job);
  }
}

Job* PoolThread::next_job() noexcept {
  Job* const job = look();
  return job != nullptr ? job : wait_for_job();
}

// Null when the pool closes and no job is left.
Job* PoolThread::wait_for_job() noexcept {
  bool spinning = shared_.parking.begin_spinning();
  for (;;) {
    if (spinning) {
      if (!open_ && shared_.hands_over.load(std::memory_order_relaxed)) open();
      (void)spin_.spin([this] { return something_is_there(); });
      if (Job* const job = look()) {
        end_spinning();
        return job;
      }
    }
    if (open_ && !close()) {
      if (spinning) end_spinning();
      return take_handed();
    }
    const FutexBits slot = shared_.parking.prepare_park(spinning);
    if (something_is_there()) {
      spinning = shared_.parking.cancel_park();
      if (spinning) continue;
      if (Job* const job = look()) {
        if (!shared_.ready.empty()) (void)shared_.parking.unpark_one();  // who was spared while this one spun
        return job;
      }
      if (shared_.closing.load()) return nullptr;
      spinning = shared_.parking.begin_spinning();
      continue;
    }
    const TimePoint asleep = monotonic_now();
    shared_.parking.park(slot);
    spin_.slept(monotonic_now() - asleep);
    spinning = true;
    free_since_ = {};
  }
}

// Who finds work wakes the next one, if there is more.
void PoolThread::end_spinning() noexcept {
  shared_.parking.end_spinning();
  if (!shared_.ready.empty()) (void)shared_.parking.unpark_one();
}

bool PoolThread::something_is_there() const noexcept {
  return (open_ && own_.place.taken() != nullptr) || !shared_.ready.empty() || shared_.closing.load();
}

// What it was handed, or the oldest in the ring, for which it closes its place: nothing is to wait behind that.
Job* PoolThread::look() noexcept {
  if (open_) {
    if (own_.place.taken() != nullptr) return take_handed();
    if (shared_.ready.empty()) return nullptr;
    if (!close()) return take_handed();
  }
  handed_ = false;
  return shared_.ready.pop().release();
}

Job* PoolThread::take_handed() noexcept {
  Job* const job = own_.place.taken();
  prefetch_element(job);
  check(job != nullptr, "a place that was handed something has it");
  handed_ = true;
  return job;
}

void PoolThread::open() noexcept {
  own_.place.open();
  open_ = true;
  if (shared_.looks_at_place.load(std::memory_order_relaxed) != index_) {
    shared_.looks_at_place.store(index_, std::memory_order_relaxed);
  }
}

bool PoolThread::close() noexcept {
  if (!own_.place.close()) return false;
  open_ = false;
  return true;
}

// A thread says what it runs, and then looks whether that was aborted; abort() does so the other way round, so that one
// of the two sees the other. That order costs what few jobs need.
void PoolThread::note_running(Job& job) noexcept {
  job.state.thread = static_cast<std::uint16_t>(index_);
  if (!job.state.has_stop) return own_.running.store(&job, std::memory_order_release);
  own_.running.store(&job);
  if (job.state.id <= shared_.aborted_through.load()) job.state.stop.request_stop();
}

// A job that came while the thread was awake begins when it is there and the thread is free, without a reading of the
// clock. A bound of its run is counted from a reading.
void PoolThread::run(Job& job) noexcept {
  if (!handed_) {
    const bool is_known = free_since_ != TimePoint{} && !job.state.reports_start;
    const TimePoint started = is_known ? std::max(free_since_, job.state.submitted) : monotonic_now();
    job.state.started.store(started, std::memory_order_relaxed);
    if (job.state.reports_start) {
      check(job.state.start_notice != nullptr, "a job that reports its start has what is reported");
      // submit() made it so. NOLINTNEXTLINE(cppcoreguidelines-pro-type-static-cast-downcast)
      static_cast<JobStarted&>(*job.state.start_notice).set(job.state.lease, job.state.id, started);
      shared_.inbox->post(std::move(job.state.start_notice));
    }
  }
  run_with_log(job);
}

void PoolThread::run_with_log(Job& job) noexcept {
  ThreadLog log(*shared_.log, job);
  const ThreadLogTarget target(log);
  job.run();
}

void PoolThread::give_back(Job& job) noexcept {
  if (handed_ && !own_.place.finish()) return;
  shared_.inbox->hand_back(own_.handed_back, std::unique_ptr<Job>(&job));
}

}  // namespace leasepool::detail
