// ThreadPool: threads that take jobs from one queue and hand them back through the loop's inbox.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/adaptive_spin.hpp"
#include "base/intrusive_queue.hpp"
#include "base/parking.hpp"
#include "base/spmc_ring.hpp"
#include "loop/inbox.hpp"
#include "loop/scheduler.hpp"
#include "pool/pool.hpp"
#include "pool/submit_coalescer.hpp"
#include "threads/thread_log.hpp"

namespace leasepool::detail {

// Loop thread only, but for would_wait_for_itself(). What tells the loop of a start or an end is made beforehand, so
// that nothing that ends needs memory. Threads that were abandoned keep what they use alive, and the job
// that such a thread hands back is still delivered if nobody was told before.
class ThreadPool final : public Pool,
                         public JobSink,
                         public Coalesced,
                         public std::enable_shared_from_this<ThreadPool> {
 public:
  ThreadPool(Scheduler& scheduler, const std::shared_ptr<Inbox>& inbox, PoolOptions options);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() override;

  void start(std::move_only_function<void(Result<void>)> ready) override;
  void submit(std::unique_ptr<Job> job) override;
  void submit_batch(IntrusiveQueue<Job> jobs) override;
  bool withdraw(Job& job, Error error) override;
  bool interrupt(Job& job, Error error) override;
  [[nodiscard]] bool would_wait_for_itself() const noexcept override;
  void abort(const Error& error, Ended ended) override;
  void drain(const Error& error) noexcept override;
  void close(std::move_only_function<void()> closed) noexcept override;
  void kill() override;
  void close_now(TimePoint deadline) noexcept override;

  void job_started(std::uint64_t job_id, TimePoint started) override;
  void job_ended(std::unique_ptr<Job> job) override;
  void flush() override;

 private:
  // Written by its thread alone.
  struct alignas(64) ThreadState {
    std::atomic<Job*> running = nullptr;  // the loop may look at it: it alone destroys jobs
    const std::shared_ptr<HandedBack> handed_back = std::make_shared<HandedBack>();
    std::unique_ptr<Notice<void>> is_initialized{};  // null without an initializer
    std::unique_ptr<Deferred> has_finished{};
  };
  static constexpr std::size_t kMaxUnderWay = decltype(HandedBack::ring)::kPlaces;

  // What threads and loop share; outlives the pool when threads are abandoned.
  struct Shared {
    Shared(std::shared_ptr<Inbox> loop_inbox, std::shared_ptr<ThreadLogRoute> log_route, const PoolOptions& options)
        : inbox(std::move(loop_inbox)), log(std::move(log_route)), spin(options.spin), threads(options.workers) {}
    const std::shared_ptr<Inbox> inbox;
    const std::shared_ptr<ThreadLogRoute> log;
    const Duration spin;
    std::vector<ThreadState> threads;
    SpmcRing<Job, 256> ready;  // jobs that a thread may take
    // What threads look at with each job and the loop seldom writes, and then what the loop writes with each: in cache
    // lines of their own, each filled up with what is used at an end only.
    alignas(64) Parking parking;                     // of threads that have none
    std::atomic<std::uint64_t> aborted_through = 0;  // the id of the last job of which an abort asks to stop
    std::atomic<bool> closing = false;
    std::mutex mutex;
    alignas(64) std::atomic<std::size_t> waiting = 0;  // jobs for which the ring has no room
    std::size_t running = 0;                           // threads that have not left their loop; guarded by mutex
    std::condition_variable finished;                  // a thread has left its loop
  };

  static void thread_main(const std::shared_ptr<Shared>& shared, const Initializer& initializer, std::size_t index);
  static void initialize(Shared& shared, const Initializer& initializer, Notice<void>& notice) noexcept;
  void start_threads() noexcept;
  void start_thread(std::size_t index);
  void reserve_notices(std::move_only_function<void(Result<void>)> ready);
  void thread_initialized(const Result<void>& result) noexcept;
  void report_start() noexcept;
  static std::unique_ptr<Job> wait_for_job(Shared& shared, AdaptiveSpin& spin);
  static void note_running(const Shared& shared, ThreadState& own, Job& job) noexcept;
  static void run_job(Shared& shared, Job& job, TimePoint started) noexcept;
  static void run_with_log(Shared& shared, Job& job);
  void enqueue(std::unique_ptr<Job> job);
  void came_back() noexcept;
  void job_left();
  void announce_end();
  void end_waiting(const Error& error);
  void thread_finished();
  void finish_close();
  void say_closed();

  Scheduler& scheduler_;
  const PoolOptions options_;
  const std::shared_ptr<LogQueue> log_;
  const std::shared_ptr<Shared> shared_;
  IntrusiveQueue<Job> queue_;  // what waits for others, or has no room in the ring
  std::size_t under_way_ = 0;  // jobs that were handed over and are not back
  std::uint64_t last_id_ = 0;  // of those that were submitted
  SubmitCoalescer coalescer_{scheduler_};
  std::vector<std::thread> threads_;
  std::unique_ptr<Notice<void>> ready_;  // while starting
  Result<void> start_result_;
  std::size_t uninitialized_threads_ = 0;
  std::size_t finished_threads_ = 0;
  bool closing_ = false;
  std::move_only_function<void()> closed_;    // while closing
  std::shared_ptr<ThreadPool> self_;          // while closing
  std::unique_ptr<Deferred> tells_of_close_;  // until it is closed
};

}  // namespace leasepool::detail
