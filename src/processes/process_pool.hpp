// ProcessPool: pre-forked worker processes, each with a channel of its own. A worker that dies costs the call that it
// was running and is replaced; a call that it had not begun goes to another.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <deque>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/background_thread.hpp"
#include "base/intrusive_queue.hpp"
#include "loop/deferred.hpp"
#include "loop/kept_timer.hpp"
#include "loop/loop_core.hpp"
#include "pool/dispatcher.hpp"
#include "pool/pool.hpp"
#include "pool/run_times.hpp"
#include "processes/decoding.hpp"
#include "processes/spawner.hpp"
#include "processes/worker.hpp"

namespace leasepool::detail {

// Loop thread only.
class ProcessPool final : public Pool,
                          public WorkerOwner,
                          public SpawnerOwner,
                          public std::enable_shared_from_this<ProcessPool> {
 public:
  ProcessPool(LoopCore& loop, PoolOptions options);
  ProcessPool(const ProcessPool&) = delete;
  ProcessPool& operator=(const ProcessPool&) = delete;
  ~ProcessPool() override;

  void start(std::move_only_function<void(Result<void>)> ready) override;
  void submit(std::unique_ptr<Job> job) override;
  void submit_batch(IntrusiveQueue<Job> jobs) override;
  bool withdraw(Job& job, const Error& error) override;
  bool interrupt(Job& job, Error error) override;
  [[nodiscard]] bool can_note_stacks() const noexcept override { return true; }
  [[nodiscard]] bool traces_runs() const noexcept override { return true; }
  void note_stack(const Job& job) override;
  [[nodiscard]] bool broken() const noexcept override { return broken_.has_value(); }
  void add_workers(std::vector<WorkerStats>& workers) const override;
  void lease_ended() override;
  void abort(const Error& error, Ended ended) override;
  void drain(const Error& error) noexcept override;
  void close(std::move_only_function<void()> closed) noexcept override;
  void kill() override;
  void close_now(TimePoint deadline) noexcept override;

 private:
  void worker_ready(Worker& worker) override;
  void worker_finished(Worker& worker, std::unique_ptr<Job> job) override;
  std::shared_ptr<Decoding> prepare_decoding(const Worker& worker, const Job& job,
                                             const Frame& frame) noexcept override;
  std::unique_ptr<Job> begin_decoding(const std::shared_ptr<Decoding>& decoding,
                                      std::unique_ptr<Job> job) noexcept override;
  void worker_dying(Worker& worker) override;
  [[nodiscard]] bool takes_line(std::size_t size) const override { return log_->has_room(size); }
  void worker_printed(LogRecord record) override;
  void worker_dropped_lines(std::uint64_t lines) override;
  void may_not_kill(Worker& worker) noexcept override;
  void worker_gone(Worker& worker, std::unique_ptr<Job> job) override;

  void worker_spawned(std::uint64_t worker_id, SpawnedProcess process) override;
  void worker_not_spawned(std::uint64_t worker_id, std::string_view reason) override;
  void worker_exited(std::uint64_t worker_id, int wait_status, const ResourceUse& use) override;
  void fork_server_lost(const std::unordered_set<std::uint64_t>& unanswered) override;

  void spawn_worker();
  void refill();
  void connect_again();
  void no_server_left(std::string_view reason);
  void give_up(Worker& worker);
  void start_took_too_long(std::uint64_t worker_id);
  void worker_failed_to_start(std::string_view reason, Errc code = Errc::pool_broken);
  void back_off(std::size_t tries) noexcept;
  void cannot_replace_workers(std::string_view reason);
  [[nodiscard]] std::size_t deaths_too_many() const noexcept;
  template <std::invocable MakeReason>
  void break_pool(const MakeReason& why);
  void note_death() noexcept;
  void retire(Worker& worker);
  void serve(Worker& worker);
  void add_spare(Worker& worker) noexcept;
  void remove_spare(const Worker& worker) noexcept;
  void promote_spares();
  [[nodiscard]] bool is_due_for_recycling(const Worker& worker) const noexcept;
  void recycle(Worker& worker);
  void discard(Worker& worker);
  void replace_next_turn();
  void cancel_start_timer(std::uint64_t worker_id);
  [[nodiscard]] Worker* holder_of(const Job& job) const;
  void decoding_done(std::uint64_t worker_id, const std::shared_ptr<Decoding>& decoding);
  [[nodiscard]] std::shared_ptr<Decoding> decoding_of(const Job& job) const noexcept;
  [[nodiscard]] std::unique_ptr<Job> take_job_from(const std::shared_ptr<Decoding>& decoding) noexcept;
  void abandon(const std::shared_ptr<Decoding>& decoding) noexcept;
  void end_decodings(const Error& error) noexcept;
  void kill_abandoned(Worker& worker);
  [[nodiscard]] static Error with_noted_stack(Error error, const Worker& worker, const Job& job) noexcept;
  void requeue_or_fail(const Worker& worker, std::unique_ptr<Job> job);
  [[nodiscard]] Error crash_error(const Worker& worker, const Job& job) const noexcept;
  [[nodiscard]] std::shared_ptr<Worker> find(std::uint64_t worker_id) const;
  void start_failed(Error error);
  void kill_workers() noexcept;
  void forget_unanswered();
  void abandon_unkillable();
  void finish_if_empty() noexcept;
  void report_close() {
    if (auto closed = std::exchange(closed_, {})) closed();  // none after close_now()
  }
  void release_all() noexcept;
  template <class Action>
  void for_each_worker(const Action& action);
  void failed_to_start(const Worker& worker);
  void trace_spawned(Worker& worker, pid_t pid) noexcept;
  void trace_worker(const Worker& worker, std::string_view what) noexcept;
  void trace_gone(const Worker& worker) noexcept;
  void end_call(const TraceLane& worker, std::unique_ptr<Job> job);
  void end_call(const TraceLane& worker, std::unique_ptr<Job> job, Error error);
  template <std::invocable MakeText>
  void log(LogLevel level, const MakeText& make_text) const noexcept {
    try {
      const std::string text = make_text();
      log_->push({.time = std::chrono::system_clock::now(), .level = level, .text = text, .pool = options_.name});
    } catch (const std::bad_alloc&) {
      log_->count_dropped(1, options_.name);
    }
  }

  LoopCore& loop_;
  const PoolOptions options_;
  const std::shared_ptr<LogQueue> log_;
  std::shared_ptr<const UniqueFd> cgroup_;  // below which each worker has one, if they have
  std::shared_ptr<Spawner> spawner_;
  const std::shared_ptr<Dispatcher> dispatcher_ = std::make_shared<Dispatcher>(loop_);
  std::vector<std::shared_ptr<Worker>> workers_;       // those that are dying included
  std::size_t live_ = 0;                               // workers that are not dying
  std::vector<Worker*> spares_;                        // that came up and do not serve yet, the oldest first
  std::unique_ptr<BackgroundThread> decoding_thread_;  // once there was something for it
  std::vector<std::shared_ptr<Decoding>> decodings_;   // that somebody waits for
  const std::shared_ptr<RunTimes> run_times_ = std::make_shared<RunTimes>();
  std::deque<TimePoint> deaths_;     // whose replacements are not ready yet
  std::size_t failed_starts_ = 0;    // in a row
  std::size_t deaths_in_calls_ = 0;  // in a row, with no call in between that came to its end
  std::size_t lost_servers_ = 0;     // in a row, with requests unanswered
  KeptTimer backoff_{loop_};
  KeptTimer next_turn_{loop_};  // in which used workers are replaced
  KeptTimer kill_patience_{loop_};
  std::unordered_map<std::uint64_t, TimerId> start_timers_;
  std::optional<Error> broken_;          // with the last cause
  std::unique_ptr<Notice<void>> ready_;  // while starting
  std::optional<Error> start_failure_;
  std::move_only_function<void()> closed_;
  DeferredMember<ProcessPool, &ProcessPool::report_close> reports_close_;
  bool closing_ = false;      // it is being closed, or could not start
  bool close_asked_ = false;  // by its user, which may come while a failed start is on its way to `ready`
};

// In the order of their ids, as some go, and others come, while we look at them.
template <class Action>
void ProcessPool::for_each_worker(const Action& action) {
  const std::uint64_t end = workers_.empty() ? 0 : workers_.back()->id() + 1;
  for (std::uint64_t next = 0; next < end;) {
    const auto found = std::ranges::find_if(workers_, [&](const auto& worker) { return worker->id() >= next; });
    if (found == workers_.end() || (*found)->id() >= end) return;
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): it may go from the list meanwhile
    const std::shared_ptr<Worker> worker = *found;
    next = worker->id() + 1;
    action(*worker);
  }
}

}  // namespace leasepool::detail
