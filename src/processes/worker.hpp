// Worker: the parent's view of one worker process, from the request to fork it until everything about its end is known.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"
#include "leasepool/detail/job.hpp"
#include "loop/loop_core.hpp"
#include "pool/pool.hpp"
#include "pool/run_times.hpp"
#include "pool/trace_calls.hpp"
#include "pool/worker_port.hpp"
#include "processes/decoding.hpp"
#include "processes/recent_calls.hpp"
#include "processes/sent_calls.hpp"
#include "processes/spawner.hpp"
#include "processes/worker_output.hpp"
#include "processes/worker_owner.hpp"
#include "shared/argument_memory.hpp"
#include "shared/status_page.hpp"
#include "shared/worker_cgroup.hpp"
#include "shared/worker_settings.hpp"
#include "wire/shared_channel.hpp"

namespace leasepool::detail {

// A worker's life, as its parent knows it:
//
//   state     | what it is                             | and then
//   ----------|----------------------------------------|----------------------------------------------------------
//   starting  | asked for, forked, or initializing     | serving: it said hello, ran its initializer, and has a pidfd
//   serving   | it takes calls                         | dying, as from starting: dead, dismissed, killed or given up
//   dying     | its owner has been told                | gone: process, channel and exit status are all known to have
//             |                                        | ended
//   gone      | nothing of it is left                  |
enum class WorkerState { starting, serving, dying, gone };

// Loop thread only. Shared with its operations in flight.
class Worker final : public ChannelOwner, public WorkerPort, public std::enable_shared_from_this<Worker> {
 public:
  Worker(LoopCore& loop, WorkerOwner& owner, std::uint64_t id, const PoolOptions& options,
         std::shared_ptr<RunTimes> run_times);

  // Makes the channel, the status page and, below `delegated_cgroup` if there is one, a cgroup; what the process gets
  // of them. Throws std::system_error.
  SpawnRequest prepare(const std::shared_ptr<const UniqueFd>& delegated_cgroup);

  // What the fork server said.
  void spawned(SpawnedProcess process);
  void not_spawned(std::string_view reason);
  void exited(int wait_status, const ResourceUse& use);
  // The server that would report its end is gone.
  void forget_exit_status();

  // As its dispatcher sees it.
  [[nodiscard]] std::optional<Error> queue(std::unique_ptr<Job>& job) override;
  void flush() override { channel_->flush(); }
  [[nodiscard]] bool idle() const noexcept override { return sent_.empty(); }
  [[nodiscard]] bool may_have_more() const noexcept override {
    return state_ == WorkerState::serving && !due_for_recycling();
  }
  [[nodiscard]] bool has_credit() noexcept override { return may_have_more() && sent_.has_credit(); }
  [[nodiscard]] bool is_quick() const noexcept override { return sent_.is_short(); }
  [[nodiscard]] bool is_quick_with(std::size_t more) const noexcept override { return sent_.is_short_with(more); }
  [[nodiscard]] bool is_quick_when_full() const noexcept override { return sent_.is_short_when_full(); }
  [[nodiscard]] bool sleeps() const noexcept override { return channel_->other_end_sleeps(); }
  [[nodiscard]] Job* job() const noexcept override { return sent_.running(); }
  [[nodiscard]] TimePoint busy_since() const noexcept override { return busy_since_; }
  [[nodiscard]] bool has_job(const Job& job) const noexcept override { return sent_.holds(job); }
  [[nodiscard]] std::size_t jobs_waiting() const noexcept override { return sent_.waiting(); }
  [[nodiscard]] std::unique_ptr<Job> recall(const Job& job) noexcept override;
  [[nodiscard]] IntrusiveQueue<Job> recall_first(std::size_t count) noexcept override;

  // Takes jobs away, so that their outcomes are the caller's to make up: one, or all.
  [[nodiscard]] std::unique_ptr<Job> take_job(const Job& job);
  [[nodiscard]] IntrusiveQueue<Job> take_jobs() noexcept;

  // One of its results that was decoded beside the loop is done, or nobody waits for it.
  void decoding_ended();
  // While too many are under way, nothing more of it is received.
  void redeliver() { channel_->go_on(); }

  // SIGKILL. Its death is then reported like any other.
  void kill() noexcept;

  // The same once more, if it was killed: who had been asked to do it may be gone.
  void retry_kill() noexcept {
    if (kill_sent_) send_sigkill();
  }

  // After kill(): ends without waiting for anything more to be known of it.
  void forget();

  // Closes the channel: an idle worker exits.
  void close_idle() noexcept;

  // Nobody is told anything any more.
  void detach() noexcept;

  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  // Whether somebody waits for the outcome of anything that it was sent.
  [[nodiscard]] bool has_jobs() const noexcept { return sent_.wanted(); }
  // It serves, or did.
  [[nodiscard]] bool came_up() const noexcept { return came_up_; }
  // Or gone.
  [[nodiscard]] bool dying() const noexcept { return state_ >= WorkerState::dying; }
  [[nodiscard]] bool ended_by_us() const noexcept { return ended_by_us_; }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] WorkerStats stats() const;
  TraceLane trace_lane{};
  // Empty if it has none, or no descriptor is left for it.
  [[nodiscard]] UniqueFd share_cgroup() const noexcept { return cgroup_ ? cgroup_->share() : UniqueFd(); }
  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }

  // What of its sandbox is in force. To be asked when it gets ready: later it is the functions' word.
  [[nodiscard]] SandboxStats sandbox() const noexcept;
  // What dies with it, and what bounds its memory. To be asked then, too.
  [[nodiscard]] KillScope kill_scope() const noexcept;
  [[nodiscard]] MemoryBound memory_bound() const noexcept;

  // Why it did not start, when describe_end() says how.
  [[nodiscard]] Errc failure_code() const noexcept { return failure_code_; }

  // Whether the worker had taken up the job: then it may have run.
  [[nodiscard]] bool had_begun(const Job& job) const noexcept;

  // Whether it has had as many calls, years or bytes as a worker may have: to be replaced when it is idle.
  [[nodiscard]] bool due_for_recycling() const noexcept;
  // Whether it was sent a call that it may have begun.
  [[nodiscard]] bool was_used() const noexcept { return calls_ != 0; }

  // Asks the worker to note where its job is; noted_stack() then has it, soon after.
  void note_stack() const noexcept;
  // Where the job was when it was asked, or crashed; empty if that is not known. For one that a deadline ends: it does
  // not wait until symbols have been read.
  [[nodiscard]] StackTrace noted_stack(const Job& job) const;

  // After worker_dying: how it ended, in words.
  [[nodiscard]] std::string describe_end() const;
  // The same of one that died while it ran the job, with all that is known.
  [[nodiscard]] WorkerCrash report_end(const Job& job) const;

 private:
  void printed(const WorkerLine& line);
  void frame_received(const Frame& frame) override;
  void channel_ended(std::string_view violation) override;
  void descriptors_refused(std::uint64_t number, int error) override;
  void violated(std::string_view violation);
  void refused_to_start(const Frame& frame);
  void give_up(std::string_view reason, std::string_view what = {});
  void initialize();
  void initialized(const Frame& frame);
  // Returns what is wrong with the outcome itself.
  std::optional<std::string> take_outcome(Job& job, const Frame& frame) const;
  void accept_outcome(const Frame& frame);
  void accept_refusal();
  std::unique_ptr<Job> call_answered();
  void take_value(Job& job, const Frame& frame) const;
  [[nodiscard]] std::shared_ptr<Decoding> prepare_decoding(const Job& job, const Frame& frame) const noexcept;
  void remember(const Job& job, FunctionId function);
  Result<FunctionId> encode(const Job& job, Descriptors& descriptors, std::size_t& large);
  void release_memory_after(Duration time);
  void give_memory_back();
  void expect_outcomes();
  void uncount_calls(std::size_t count) noexcept;
  [[nodiscard]] std::string describe_blocked_call() const;
  void send_sigkill() noexcept;
  bool watch_death();
  void cannot_watch();
  void greet();
  void await_exit_status() noexcept;
  void await_death() noexcept;
  void note_failure(std::string_view reason, std::string_view what) noexcept;
  void reap_if_child() noexcept;
  void died();
  void check_gone();
  void enter(WorkerState next) noexcept;
  void come_up();
  // False if it did already.
  bool begin_dying() noexcept;
  [[nodiscard]] bool ran_out_of_memory() const noexcept;

  LoopCore& loop_;
  WorkerOwner* owner_;
  const std::uint64_t id_;
  const WorkerSettings settings_;
  const Sandbox sandbox_;
  const std::uint64_t most_calls_;
  const TimePoint end_of_age_;
  const std::uint64_t most_resident_memory_;
  const DecodeLimits decode_limits_;
  const Duration spin_;
  const bool shares_memory_;
  const std::shared_ptr<RunTimes> run_times_;
  StatusPage status_;
  std::shared_ptr<SharedChannel> channel_;  // its rings are in the status page
  Bytes frame_;                             // being made
  ArgumentMemory arguments_;
  TimePoint used_arguments_{};
  std::shared_ptr<WorkerOutput> output_;
  std::shared_ptr<const WorkerCgroup> cgroup_;  // shared with what removes it
  RecentCalls recent_;
  const std::chrono::system_clock::time_point made_at_ = std::chrono::system_clock::now();
  std::uint64_t dropped_lines_ = 0;
  pid_t pid_ = 0;
  UniqueFd pidfd_;  // the poll in flight on it keeps this object
  OperationId death_watch_ = 0;
  Initializer initializer_;  // until it has run
  std::unique_ptr<Job> initializing_;
  SentCalls sent_;
  TimePoint busy_since_{};
  std::uint64_t calls_ = 0;    // that it was sent, without those that it will not have run
  std::size_t decodings_ = 0;  // results of it that are decoded beside the loop
  WorkerState state_ = WorkerState::starting;
  bool said_hello_ = false;
  bool came_up_ = false;
  bool ended_by_us_ = false;  // it was killed or dismissed, and nothing that it says counts any more
  bool kill_sent_ = false;
  bool dead_ = false;
  bool channel_ended_ = false;
  bool exit_known_ = false;  // or nobody is left to tell
  bool oom_killed_ = false;  // the kernel killed something in its cgroup for want of memory
  std::optional<int> wait_status_;
  ResourceUse use_{};
  std::string failure_;  // why it was not spawned, or how it broke the protocol
  Errc failure_code_ = Errc::pool_broken;
  TimerId exit_status_timer_ = 0;
  TimerId death_timer_ = 0;
  TimerId give_back_timer_ = 0;
};

}  // namespace leasepool::detail
