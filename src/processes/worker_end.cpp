// A worker's end: dead is what the pidfd says; its channel is read to the end before its job is judged; how it ended is
// what the fork server reports.
#include <poll.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <new>
#include <string_view>
#include <utility>

#include "base/clock.hpp"
#include "base/signal_text.hpp"
#include "processes/worker.hpp"
#include "shared/pidfd.hpp"

namespace leasepool::detail {

namespace {

// The fork server reaps within microseconds of a death; one that does not is stopped, and the caller does not wait.
constexpr Duration kExitStatusPatience = std::chrono::seconds(1);

// A process that dies closes its channel moments before; one that was dismissed may have files to flush.
constexpr Duration kDeathPatience = std::chrono::milliseconds(200);
// The same of one that was let go, and destroys what make_worker_value() made.
constexpr Duration kLeavePatience = std::chrono::seconds(10);

// The pauses between tries to remove a cgroup.
constexpr Duration kFirstRemoval = std::chrono::milliseconds(1);
constexpr Duration kLastRemoval = std::chrono::seconds(1);

// What was killed in it may still be on its way out.
void remove_cgroup(LoopCore& loop, std::shared_ptr<const WorkerCgroup> cgroup, Duration pause) {
  if (cgroup->remove() || pause > kLastRemoval) return;
  try {
    loop.call_at(deadline_after(loop.now(), pause), [&loop, cgroup = std::move(cgroup), pause]() mutable {
      remove_cgroup(loop, std::move(cgroup), 2 * pause);
    });
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): the empty directory stays
  }
}

}  // namespace

// False where there is no memory to: then it is killed, and so as good as dead.
bool Worker::watch_death() {
  try {
    death_watch_ = loop_.engine().poll(pidfd_.get(), POLLIN, [self = shared_from_this()](Completion completion) {
      self->death_watch_ = 0;
      if (completion.result == -ECANCELED) return;
      completion.result < 0 ? self->cannot_watch() : self->died();
    });
    return true;
  } catch (const std::bad_alloc&) {
    cannot_watch();
    return false;
  }
}

// The system lacks the memory, or refuses.
void Worker::cannot_watch() {
  note_failure("was killed because there is no memory to watch it", {});
  send_sigkill();
  died();
}

void Worker::died() {
  if (std::exchange(dead_, true)) return;
  const bool is_news = begin_dying();
  reap_if_child();
  loop_.cancel_timer(std::exchange(death_timer_, 0));
  channel_->finish();
  if (!exit_known_ && owner_ != nullptr) await_exit_status();
  if (is_news && owner_ != nullptr) owner_->worker_dying(*this);
  check_gone();
}

void Worker::await_exit_status() noexcept {
  try {
    exit_status_timer_ = loop_.call_at(deadline_after(loop_.now(), kExitStatusPatience),
                                       [self = shared_from_this()] { self->forget_exit_status(); });
  } catch (const std::bad_alloc&) {
    exit_known_ = true;  // as far as it ever will be
  }
}

// Where its fork server is gone, and this program is the init process of its container or a subreaper, it has become
// the program's child.
void Worker::reap_if_child() noexcept {
  constexpr auto kByPidfd = static_cast<idtype_t>(3);  // P_PIDFD
  siginfo_t end{};
  if (!pidfd_ || ::waitid(kByPidfd, static_cast<id_t>(pidfd_.get()), &end, WEXITED | WNOHANG) != 0) return;
  if (end.si_pid == 0 || wait_status_) return;
  wait_status_ = wait_status_of(end);
  exit_known_ = true;
}

void Worker::exited(int wait_status, const ResourceUse& use) {
  use_ = use;
  wait_status_ = wait_status;
  exit_known_ = true;
  check_gone();
}

void Worker::forget_exit_status() {
  exit_known_ = true;
  check_gone();
}

void Worker::forget() {
  (void)begin_dying();
  loop_.engine().cancel(std::exchange(death_watch_, 0));
  loop_.cancel_timer(std::exchange(death_timer_, 0));
  dead_ = true;
  channel_ended_ = true;
  exit_known_ = true;
  check_gone();
}

void Worker::check_gone() {
  if (state_ == WorkerState::gone || !dead_ || !channel_ended_ || !exit_known_) return;
  enter(WorkerState::gone);
  loop_.cancel_timer(exit_status_timer_);
  loop_.cancel_timer(std::exchange(give_back_timer_, 0));
  channel_->detach();
  oom_killed_ = cgroup_ && cgroup_->ran_out_of_memory();
  if (cgroup_) remove_cgroup(loop_, std::move(cgroup_), kFirstRemoval);
  output_->finish();  // what it said before its end comes before what is said of it
  if (owner_ != nullptr) {
    Job* const job = sent_.running();
    owner_->worker_gone(*this, job == nullptr ? nullptr : sent_.forget(*job));
  }
}

void Worker::channel_ended(std::string_view violation) {
  channel_ended_ = true;
  if (!violation.empty()) {
    violated(violation);
  } else if (!dead_ && owner_ != nullptr) {
    await_death();
  }
  check_gone();
}

void Worker::await_death() noexcept {
  static constexpr std::string_view kViolation = "it closed its channel and went on";
  try {
    const Duration patience = ended_by_us_ && !kill_sent_ ? kLeavePatience : kDeathPatience;
    death_timer_ = loop_.call_at(deadline_after(loop_.now(), patience), [self = shared_from_this()] {
      self->death_timer_ = 0;
      self->violated(kViolation);
    });
  } catch (const std::bad_alloc&) {
    violated(kViolation);
  }
}

void Worker::send_sigkill() noexcept {
  if (!pidfd_) return;
  kill_sent_ = true;
  const int error = send_signal(pidfd_.get(), SIGKILL);
  if (error != 0 && error != ESRCH && owner_ != nullptr) owner_->may_not_kill(*this);
}

void Worker::kill() noexcept {
  ended_by_us_ = true;
  (void)begin_dying();
  send_sigkill();
}

void Worker::close_idle() noexcept {
  ended_by_us_ = true;
  (void)begin_dying();
  channel_->finish();
}

void Worker::detach() noexcept {
  owner_ = nullptr;
  loop_.cancel_timer(exit_status_timer_);
  loop_.cancel_timer(death_timer_);
  loop_.cancel_timer(std::exchange(give_back_timer_, 0));
  loop_.engine().cancel(std::exchange(death_watch_, 0));
  if (channel_) channel_->detach();
  if (output_) output_->detach();
}

}  // namespace leasepool::detail
