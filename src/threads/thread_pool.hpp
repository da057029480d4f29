// ThreadPool: threads that take jobs from one queue and hand them back through the loop's inbox; or that are handed a
// job each, and the loop sees when it is finished, where a thread is free and awake.
#pragma once

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "base/intrusive_queue.hpp"
#include "loop/loop_core.hpp"
#include "loop/poller.hpp"
#include "pool/pool.hpp"
#include "pool/submit_coalescer.hpp"
#include "pool/trace_calls.hpp"
#include "threads/pool_thread.hpp"

namespace leasepool::detail {

// Loop thread only, but for would_wait_for_itself(). What tells the loop of a start or an end is made beforehand, so
// that nothing that ends needs memory. Threads that were abandoned keep what they use alive, and the job
// that such a thread hands back is still delivered if nobody was told before.
class ThreadPool final : public Pool,
                         public JobSink,
                         public Coalesced,
                         public Poller,
                         public std::enable_shared_from_this<ThreadPool> {
 public:
  ThreadPool(LoopCore& loop, PoolOptions options);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() override;

  void start(std::move_only_function<void(Result<void>)> ready) override;
  void submit(std::unique_ptr<Job> job) override;
  void submit_batch(IntrusiveQueue<Job> jobs) override;
  bool withdraw(Job& job, const Error& error) override;
  bool interrupt(Job& job, Error error) override;
  [[nodiscard]] bool traces_runs() const noexcept override { return true; }
  [[nodiscard]] bool would_wait_for_itself() const noexcept override;
  void add_workers(std::vector<WorkerStats>& workers) const override;
  void abort(const Error& error, Ended ended) override;
  void drain(const Error& error) noexcept override;
  void close(std::move_only_function<void()> closed) noexcept override;
  void kill() override;
  void close_now(TimePoint deadline) noexcept override;

  void job_started(std::uint64_t job_id, TimePoint started) override;
  void job_ended(std::unique_ptr<Job> job) override;
  void flush() override;

  [[nodiscard]] bool pure_poll() const noexcept override;
  [[nodiscard]] TimePoint came_at() const noexcept override;
  void snapshot() noexcept override {}
  void poll() override { collect(); }
  [[nodiscard]] bool try_enter_interrupt_mode() noexcept override;
  void exit_interrupt_mode() noexcept override;

 private:
  // What a thread was handed, as long as the loop looks whether it is finished.
  struct Handed {
    HandOver<Job>* place;
    Job* job;
  };
  static constexpr std::size_t kMaxUnderWay = decltype(HandedBack::ring)::kPlaces;
  static constexpr std::size_t kMostLookedAt = 16;  // threads; with more, each call of the loop costs less

  void start_threads() noexcept;
  void start_thread(std::size_t index);
  void reserve_notices(std::move_only_function<void(Result<void>)> ready);
  void thread_initialized(const Result<void>& result) noexcept;
  void report_start() noexcept;
  void enqueue(std::unique_ptr<Job> job);
  [[nodiscard]] bool hand_over();
  void look_for_ends() noexcept;
  [[nodiscard]] bool leave_rings() noexcept;
  [[nodiscard]] const Job* first_ended() const noexcept;
  void collect();
  [[nodiscard]] IntrusiveQueue<Deliverable> take_finished() noexcept;
  void end_jobs(IntrusiveQueue<Deliverable> ended);
  void look_no_more();
  void end_job(std::unique_ptr<Job> job);
  void came_back() noexcept;
  void set_hands_over(bool some) noexcept;
  void job_left();
  [[nodiscard]] std::size_t refill_point() const noexcept;
  void announce_end();
  void end_waiting(const Error& error);
  void thread_finished();
  void finish_close();
  void say_closed();
  void trace_start() noexcept;
  void trace_end(const Job& job) noexcept;
  void trace_close() noexcept;

  LoopCore& loop_;
  const PoolOptions options_;
  const std::shared_ptr<LogQueue> log_;
  const std::shared_ptr<PoolThreads> shared_;
  IntrusiveQueue<Job> queue_;              // what waits for others, or has no room in the ring
  std::size_t under_way_ = 0;              // jobs that threads were given and are not back
  std::size_t flushes_at_ = kMaxUnderWay;  // when so few are left of them, and others wait
  std::vector<Handed> handed_;             // of those
  bool hands_over_ = true;
  bool looks_ = false;             // the loop, for the ends of jobs, while it is awake
  bool looks_into_rings_ = false;  // too
  bool is_called_ = false;         // when they end, as it goes to sleep
  std::uint64_t last_id_ = 0;      // of those that were submitted
  SubmitCoalescer coalescer_{loop_};
  std::vector<std::thread> threads_;
  std::vector<TraceLane> lanes_;         // of the threads, in a trace
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
