// ThreadPool: threads that take jobs from one queue and hand them back through the loop's inbox.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/intrusive_queue.hpp"
#include "loop/inbox.hpp"
#include "loop/scheduler.hpp"
#include "pool/pool.hpp"
#include "pool/thread_log.hpp"

namespace leasepool::detail {

// Loop thread only, but for would_wait_for_itself(). Threads that were abandoned keep what they use alive, and the job
// that such a thread hands back is still delivered if nobody was told before.
class ThreadPool final : public Pool, public JobSink, public std::enable_shared_from_this<ThreadPool> {
 public:
  ThreadPool(Scheduler& scheduler, const std::shared_ptr<Inbox>& inbox, PoolOptions options);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() override;

  void start(std::move_only_function<void(Result<void>)> ready) override;
  void submit(std::unique_ptr<Job> job) override;
  bool withdraw(Job& job, Error error) override;
  bool interrupt(Job& job, Error error) override;
  [[nodiscard]] bool would_wait_for_itself() const noexcept override;
  void close(std::move_only_function<void()> closed) override;
  void kill() override;
  void close_now(TimePoint deadline) noexcept override;

  void job_started(std::uint64_t job_id, TimePoint started) override;
  void job_ended(std::unique_ptr<Job> job) override;

 private:
  // What threads and loop share; outlives the pool when threads are abandoned.
  struct Shared {
    Shared(std::shared_ptr<Inbox> loop_inbox, std::shared_ptr<ThreadLogRoute> log_route)
        : inbox(std::move(loop_inbox)), log(std::move(log_route)) {}
    const std::shared_ptr<Inbox> inbox;
    const std::shared_ptr<ThreadLogRoute> log;
    std::mutex mutex;
    std::condition_variable work;      // a job was queued, or the pool closes
    std::condition_variable finished;  // a thread has left its loop
    IntrusiveQueue<Job> queue;         // guarded by mutex, as all below
    std::size_t idle = 0;              // threads that wait for work
    std::size_t busy = 0;              // threads that run a job
    std::size_t running = 0;           // threads that have not left their loop
    bool closing = false;
  };

  static void thread_main(const std::shared_ptr<Shared>& shared, const std::weak_ptr<ThreadPool>& pool,
                          const Initializer& initializer);
  static void initialize(Shared& shared, const std::weak_ptr<ThreadPool>& pool, const Initializer& initializer);
  void thread_initialized(const std::optional<std::string>& failed);
  void report_start();
  static void run_job(Shared& shared, std::unique_ptr<Job> job);
  void begin_closing();
  void thread_finished();
  void finish_close();

  Scheduler& scheduler_;
  const PoolOptions options_;
  const std::shared_ptr<LogQueue> log_;
  const std::shared_ptr<Shared> shared_;
  std::vector<std::thread> threads_;
  std::move_only_function<void(Result<void>)> ready_;  // while starting
  Result<void> start_result_;
  std::size_t uninitialized_threads_ = 0;
  std::size_t finished_threads_ = 0;
  bool closing_ = false;
  std::move_only_function<void()> closed_;
};

}  // namespace leasepool::detail
