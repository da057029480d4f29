// ProcessPool: pre-forked worker processes, each with a channel of its own. A worker that dies costs the call that it
// was running and is replaced; a call that it had not begun goes to another.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/intrusive_queue.hpp"
#include "loop/loop_core.hpp"
#include "pool/pool.hpp"
#include "pool/run_times.hpp"
#include "pool/spawner.hpp"
#include "pool/succession.hpp"
#include "pool/worker.hpp"

namespace leasepool::detail {

// Loop thread only.
class ProcessPool final : public Pool,
                          public WorkerOwner,
                          public SpawnerOwner,
                          public HeldWork,
                          public std::enable_shared_from_this<ProcessPool> {
 public:
  ProcessPool(LoopCore& loop, PoolOptions options);
  ProcessPool(const ProcessPool&) = delete;
  ProcessPool& operator=(const ProcessPool&) = delete;
  ~ProcessPool() override;

  void start(std::move_only_function<void(Result<void>)> ready) override;
  void submit(std::unique_ptr<Job> job) override;
  void submit_batch(IntrusiveQueue<Job> jobs) override;
  bool withdraw(Job& job, Error error) override;
  bool interrupt(Job& job, Error error) override;
  [[nodiscard]] bool can_note_stacks() const noexcept override { return true; }
  void note_stack(const Job& job) override;
  [[nodiscard]] bool broken() const noexcept override { return broken_.has_value(); }
  void close(std::move_only_function<void()> closed) override;
  void kill() override;
  void close_now(TimePoint deadline) noexcept override;

  void hand_over() override { dispatch(); }

 private:
  void worker_ready(Worker& worker) override;
  void worker_finished(Worker& worker, std::unique_ptr<Job> job) override;
  void worker_dying(Worker& worker) override;
  [[nodiscard]] bool takes_line(std::size_t size) const override { return log_->has_room(size); }
  void worker_printed(LogRecord record) override;
  void worker_dropped_lines(std::uint64_t lines) override;
  void worker_gone(Worker& worker, std::unique_ptr<Job> job) override;

  void worker_spawned(std::uint64_t worker_id, SpawnedProcess process) override;
  void worker_not_spawned(std::uint64_t worker_id, const std::string& reason) override;
  void worker_exited(std::uint64_t worker_id, int wait_status, const ResourceUse& use) override;
  void fork_server_lost(const std::unordered_set<std::uint64_t>& unanswered) override;

  void spawn_worker();
  void spawn_missing_workers();
  void connect_again();
  void no_server_left(const std::string& reason);
  void give_up(Worker& worker);
  void start_took_too_long(std::uint64_t worker_id);
  void worker_failed_to_start(const std::string& reason, Errc code = Errc::pool_broken);
  void back_off(std::size_t tries);
  void cannot_replace_workers(const std::string& reason);
  [[nodiscard]] std::size_t deaths_too_many() const noexcept;
  void break_pool(const std::string& why);
  void retire(Worker& worker);
  [[nodiscard]] bool is_due_for_recycling(const Worker& worker) const noexcept;
  void recycle(Worker& worker);
  void cancel_start_timer(std::uint64_t worker_id);
  void dispatch();
  void enqueue(std::unique_ptr<Job> job);
  bool send_front_to(Worker& worker);
  void send_ahead();
  [[nodiscard]] Worker* next_with_room(const Job& job);
  [[nodiscard]] Worker* spares_wake_up() const;
  void share_out();
  void watch_for_slow_workers();
  void relieve_slow_workers();
  void nothing_waits() noexcept;
  void note_start(Job& job, TimePoint started);
  [[nodiscard]] Worker* holder_of(const Job& job) const;
  void take_back_from(Worker& worker);
  void give_back(std::unique_ptr<Job> job);
  void kill_for_nothing_wanted(Worker& worker);
  void requeue_or_fail(const Worker& worker, std::unique_ptr<Job> job);
  [[nodiscard]] Error crash_error(const Worker& worker, const Job& job) const;
  [[nodiscard]] std::shared_ptr<Worker> find(std::uint64_t worker_id) const;
  void start_failed(Error error);
  void kill_workers() noexcept;
  void forget_unanswered();
  void finish_if_empty();
  void let_go_of_everything() noexcept;
  void log(LogLevel level, const std::string& text) const;

  LoopCore& loop_;
  const PoolOptions options_;
  const std::shared_ptr<LogQueue> log_;
  std::shared_ptr<const UniqueFd> cgroup_;  // below which each worker has one, if they have
  std::shared_ptr<Spawner> spawner_;
  std::vector<std::shared_ptr<Worker>> workers_;  // those that are dying included
  std::vector<Worker*> idle_;                     // the last one that finished is the next to be used
  std::size_t live_ = 0;                          // workers that are not dying
  IntrusiveQueue<Job> queue_;
  Succession succession_{loop_};
  std::vector<Worker*> unflushed_;  // that have been queued jobs in this dispatch
  const std::shared_ptr<RunTimes> run_times_ = std::make_shared<RunTimes>();
  Worker* last_used_ = nullptr;      // null if it is retired
  bool ahead_ = false;               // calls may wait behind others
  bool ahead_for_long_ = false;      // that are not quick
  TimerId relief_ = 0;               // while calls wait behind quick ones, and a worker has nothing to do
  bool no_room_ahead_ = false;       // no busy worker takes more for now
  std::size_t next_ahead_ = 0;       // the place of the last worker that was sent one ahead
  std::deque<TimePoint> deaths_;     // whose replacements are not ready yet
  std::size_t failed_starts_ = 0;    // in a row
  std::size_t deaths_in_calls_ = 0;  // in a row, with no call in between that came to its end
  std::size_t lost_servers_ = 0;     // in a row, with requests unanswered
  TimerId backoff_ = 0;
  std::unordered_map<std::uint64_t, TimerId> start_timers_;
  std::optional<std::string> broken_;                  // the last cause
  std::move_only_function<void(Result<void>)> ready_;  // while starting
  std::optional<Error> start_failure_;
  std::move_only_function<void()> closed_;
  bool closing_ = false;      // it is being closed, or could not start
  bool close_asked_ = false;  // by its user, which may come while a failed start is on its way to `ready`
};

}  // namespace leasepool::detail
