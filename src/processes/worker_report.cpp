// What is known of a worker: what is in force in it, how it ended, and what it was doing.
#include <sys/resource.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <string>

#include "base/signal_text.hpp"
#include "processes/worker.hpp"
#include "sandbox/blocked_call.hpp"
#include "sandbox/sandbox.hpp"
#include "sandbox/system_call_filter.hpp"
#include "shared/pidfd.hpp"
#include "shared/stack_note.hpp"
#include "shared/symbols.hpp"

namespace leasepool::detail {

SandboxStats Worker::sandbox() const noexcept {
  const bool seccomp = status_->seccomp.load() != 0;
  const auto landlock_abi = static_cast<int>(status_->landlock_abi.load());
  const bool wants_all = settings_.sandbox != Sandbox::Profile::none;
  return {.profile = settings_.sandbox,
          .seccomp = seccomp,
          .landlock_abi = landlock_abi,
          .complete = !wants_all || (seccomp && landlock_abi > 0)};
}

KillScope Worker::kill_scope() const noexcept {
  return cgroup_ && cgroup_->kills_all() ? KillScope::cgroup : KillScope::process_group;
}

MemoryBound Worker::memory_bound() const noexcept {
  rlimit limit{};
  const bool of_cgroup = cgroup_ && cgroup_->bounds_memory();
  const bool of_address_space = settings_.memory != WorkerSettings::kNoLimit &&
                                ::prlimit(pid_, RLIMIT_AS, nullptr, &limit) == 0 && limit.rlim_cur <= settings_.memory;
  if (of_cgroup) return of_address_space ? MemoryBound::both : MemoryBound::cgroup;
  return of_address_space ? MemoryBound::address_space : MemoryBound::none;
}

// Of a worker that a SIGSYS ended: for which system call that was, if the filter sent it and the worker could note it.
std::string Worker::describe_blocked_call() const {
  const BlockedCall call = unpack(status_->blocked_call.load());
  if (call.architecture == 0) return {};
  return ": it tried " + system_call_name(call.architecture, call.number) + ", which " +
         sandbox_name(settings_.sandbox) + " blocks";
}

bool Worker::had_begun(const Job& job) const noexcept {
  return status_->begun.load() == job.state.id || sent_.has_begun(job.state.id);
}

WorkerStats Worker::stats() const {
  WorkerStats stats{.worker_id = id_, .pid = pid_, .starting = !came_up_, .calls = calls_};
  if (const Job* const job = sent_.running(); job != nullptr && has_started(*job)) {
    stats.running = {.call_id = job->state.id,
                     .function = std::string(job->function_name()),
                     .running_for = loop_.now() - job->state.started.load(std::memory_order_relaxed),
                     .pid = pid_,
                     .worker_id = id_};
  }
  return stats;
}

// By the kernel, which may also have killed only what a function had started, and then something else ended the worker.
bool Worker::ran_out_of_memory() const noexcept {
  if (oom_killed_ && wait_status_ && WIFSIGNALED(*wait_status_) && WTERMSIG(*wait_status_) == SIGKILL) return true;
  const std::uint64_t call = status_->out_of_memory.load();
  return call == WorkerStatus::kBetweenCalls || (call != 0 && call == status_->begun.load());
}

std::string Worker::describe_end() const {
  const std::string who = "worker process " + std::to_string(pid_);
  if (!failure_.empty()) return pid_ == 0 ? failure_ : who + " " + failure_;
  if (!wait_status_) return who + " ended, how is not known because its fork server was gone";
  std::string why;
  if (initializing_) why = " while it ran its initializer " + std::string(initializing_->function_name());
  if (ran_out_of_memory()) {
    why += " after it ran out of memory";
    if (settings_.memory != WorkerSettings::kNoLimit) {
      why += " (WorkerLimits::memory = " + std::to_string(settings_.memory) + ")";
    }
  }
  if (WIFSIGNALED(*wait_status_)) {
    const int signal = WTERMSIG(*wait_status_);
    if (status_->stack.stack_overflow == 1) why += ", its stack had overflowed";
    return who + " was killed by " + signal_text(signal, signal == SIGSYS ? describe_blocked_call() : "") + why;
  }
  if (status_->lost_channel.load() != 0) return who + " broke the protocol: it closed its channel" + why;
  if (const int error = status_->channel_error.load(); error != 0) {
    return who + " could not use its channel any more (" + std::strerror(error) + ")" + why;
  }
  return who + " exited with code " + std::to_string(WEXITSTATUS(*wait_status_)) + why;
}

WorkerCrash Worker::report_end(const Job& job) const {
  const TimePoint started = job.state.started.load(std::memory_order_relaxed);
  WorkerCrash crash{.out_of_memory = ran_out_of_memory(),
                    .stack_overflow = status_->stack.stack_overflow == 1,
                    .function = std::string(job.function_name()),
                    .call_id = job.state.id,
                    .owner = std::string(job.state.owner()),
                    .ran_for = started == TimePoint{} ? Duration{} : loop_.now() - started,
                    .worker_id = id_,
                    .pid = pid_,
                    .user_time = std::chrono::microseconds(use_.user_microseconds),
                    .system_time = std::chrono::microseconds(use_.system_microseconds),
                    .max_resident_bytes = static_cast<std::uint64_t>(use_.max_resident_kibibytes) << 10U,
                    .stderr_tail = output_->error_tail()};
  if (status_->stack.call_id.load() == job.state.id) crash.stack = read_stack(status_->stack, crash.function);
  if (wait_status_ && WIFSIGNALED(*wait_status_)) crash.signal = WTERMSIG(*wait_status_);
  if (wait_status_ && WIFEXITED(*wait_status_)) crash.exit_code = WEXITSTATUS(*wait_status_);
  return crash;
}

void Worker::note_stack() const noexcept {
  if (pidfd_) (void)send_signal(pidfd_.get(), kStackSignal);  // refused: there is no stack
}

StackTrace Worker::noted_stack(const Job& job) const {
  if (status_->stack.call_id.load() != job.state.id) return {};
  return read_stack(status_->stack, job.function_name(), UnreadSymbols::stay_unnamed);
}

}  // namespace leasepool::detail
