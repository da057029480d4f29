// PoolThread: what a pool's thread does: it takes jobs, runs them, gives them back, and sleeps when there are none; and
// what it shares with the loop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/adaptive_spin.hpp"
#include "base/hand_over.hpp"
#include "base/parking.hpp"
#include "base/spmc_ring.hpp"
#include "leasepool/detail/job.hpp"
#include "loop/inbox.hpp"
#include "pool/pool.hpp"
#include "threads/thread_log.hpp"

namespace leasepool::detail {

// Tells a lease when its job began.
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

// What threads and loop share; outlives the pool when threads are abandoned.
struct PoolThreads {
  // Of one thread, which alone writes to it, but for what the loop hands over.
  struct alignas(64) Own {
    HandOver<Job> place{};
    std::atomic<Job*> running = nullptr;  // the loop may look at it: it alone destroys jobs
    const std::shared_ptr<HandedBack> handed_back = std::make_shared<HandedBack>();
    std::atomic<int> thread_id = 0;                  // gettid(), once it is there
    std::unique_ptr<Notice<void>> is_initialized{};  // null without an initializer
    std::unique_ptr<Deferred> has_finished{};
  };

  PoolThreads(std::shared_ptr<Inbox> loop_inbox, std::shared_ptr<ThreadLogRoute> log_route, const PoolOptions& options)
      : inbox(std::move(loop_inbox)), log(std::move(log_route)), spin(options.spin), each(options.workers) {}

  const std::shared_ptr<Inbox> inbox;
  const std::shared_ptr<ThreadLogRoute> log;
  const Duration spin;
  std::vector<Own> each;
  SpmcRing<Job, 256> ready;  // jobs that a thread may take
  // What threads write when they have no job, what all of them look at and few write, and what the loop writes with
  // each job: in cache lines of their own, the last two filled up with what is used at an end only.
  alignas(64) Parking parking;                             // of threads that have none
  alignas(64) std::atomic<std::size_t> looks_at_place{0};  // the thread that last began to; a hint
  std::atomic<bool> hands_over = true;                     // the loop: few jobs are under way, so they do
  std::atomic<bool> closing = false;
  std::atomic<std::uint64_t> aborted_through = 0;  // the id of the last job of which an abort asks to stop
  std::mutex mutex;
  alignas(64) std::atomic<std::size_t> waiting = 0;  // jobs for which the ring has no room
  std::size_t running = 0;                           // threads that have not left their loop; guarded by mutex
  std::condition_variable finished;                  // a thread has left its loop
};

// One thread. A job that it takes from the ring is its own until it gives that back; one that it was handed stays the
// loop's, which sees when it is finished, unless the loop has left it to the thread meanwhile.
class PoolThread {
 public:
  // The thread's whole life.
  static void main(const std::shared_ptr<PoolThreads>& shared, const Initializer& initializer, std::size_t index);

  // Whether the calling thread is one of theirs.
  [[nodiscard]] static bool is_one_of(const PoolThreads& threads) noexcept;

 private:
  PoolThread(PoolThreads& shared, std::size_t index)
      : shared_(shared), index_(index), own_(shared.each[index]), spin_(shared.spin) {}

  void initialize(const Initializer& initializer) noexcept;
  void serve();
  [[nodiscard]] Job* next_job() noexcept;
  [[nodiscard]] Job* wait_for_job() noexcept;
  [[nodiscard]] bool something_is_there() const noexcept;
  [[nodiscard]] Job* look() noexcept;
  [[nodiscard]] Job* take_handed() noexcept;
  void open() noexcept;
  [[nodiscard]] bool close() noexcept;
  void end_spinning() noexcept;
  void note_running(Job& job) noexcept;
  void run(Job& job) noexcept;
  void run_with_log(Job& job) noexcept;
  void give_back(Job& job) noexcept;

  PoolThreads& shared_;
  const std::size_t index_;
  PoolThreads::Own& own_;
  AdaptiveSpin spin_;
  bool open_ = false;       // its place
  bool handed_ = false;     // the job that it has was
  TimePoint free_since_{};  // the last job's end, where it has been awake since
};

}  // namespace leasepool::detail
