// A worker's frames in and out, and its end: dead is what the pidfd says; its channel is read to the end before its job
// is judged; how it ended is what the fork server reports.
#include "pool/worker.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/check.hpp"
#include "pool/exception_codec.hpp"
#include "pool/registry.hpp"

namespace leasepool::detail {

namespace {

// The fork server reaps within microseconds of a death; one that does not is stopped, and the caller does not wait.
constexpr Duration kExitStatusPatience = std::chrono::seconds(1);

// A process that dies closes its channel moments before; one that was dismissed may have files to flush.
constexpr Duration kDeathPatience = std::chrono::milliseconds(200);

}  // namespace

Worker::Worker(LoopCore& loop, WorkerOwner& owner, std::uint64_t id, std::size_t max_payload)
    : loop_(loop), owner_(&owner), id_(id), max_payload_(max_payload) {}

SpawnRequest Worker::prepare() {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  auto [page, page_fd] = StatusPage::create();
  status_ = std::move(page);
  channel_ =
      std::make_shared<Channel>(loop_, std::move(ours), std::max(max_payload_, report_limit(max_payload_)), *this);
  channel_->open();
  return {.worker_id = id_,
          .channel = std::move(theirs),
          .status_page = std::move(page_fd),
          .max_payload = max_payload_,
          .name = {}};
}

void Worker::spawned(SpawnedProcess process) {
  pid_ = process.pid;
  pidfd_ = std::make_shared<UniqueFd>(std::move(process.pidfd));
  watch_death();
  if (killed_ || !failure_.empty()) return send_sigkill();  // wanted before there was anything to kill
  if (said_hello_ && !dying_ && owner_ != nullptr) owner_->worker_ready(*this);
}

void Worker::not_spawned(const std::string& reason) {
  failure_ = reason;
  exit_known_ = true;
  died();
}

void Worker::watch_death() {
  death_watch_ =
      loop_.ring().poll(pidfd_->get(), POLLIN, [self = shared_from_this(), pidfd = pidfd_](Completion completion) {
        self->death_watch_ = 0;
        if (completion.result != -ECANCELED) self->died();
      });
}

void Worker::died() {
  if (std::exchange(dead_, true)) return;
  loop_.cancel_timer(std::exchange(death_timer_, 0));
  channel_->finish();
  if (!exit_known_ && owner_ != nullptr) {
    exit_status_timer_ = loop_.call_at(deadline_after(loop_.now(), kExitStatusPatience),
                                       [self = shared_from_this()] { self->forget_exit_status(); });
  }
  if (!std::exchange(dying_, true) && owner_ != nullptr) owner_->worker_dying(*this);
  check_gone();
}

void Worker::exited(int wait_status) {
  wait_status_ = wait_status;
  exit_known_ = true;
  check_gone();
}

void Worker::forget_exit_status() {
  exit_known_ = true;
  check_gone();
}

void Worker::forget() {
  dead_ = true;
  channel_ended_ = true;
  exit_known_ = true;
  check_gone();
}

void Worker::check_gone() {
  if (gone_ || !dead_ || !channel_ended_ || !exit_known_) return;
  gone_ = true;
  loop_.cancel_timer(exit_status_timer_);
  channel_->let_go();
  if (owner_ != nullptr) owner_->worker_gone(*this, std::move(job_));
}

std::optional<Error> Worker::run(std::unique_ptr<Job>& job) {
  check(ready() && !dying_ && job_ == nullptr, "a job goes to an idle worker");
  Bytes frame = begin_frame();
  const Result<FunctionId> function = job->encode(frame, max_payload_);
  if (!function) return function.error();
  finish_frame(frame, FrameType::call, job->booking.id, *function);
  job_ = std::move(job);
  ++calls_;
  channel_->send(std::move(frame));
  return std::nullopt;
}

void Worker::frame_received(const Frame& frame) {
  if (killed_ || !failure_.empty()) return;  // its job was taken away, or nothing it says is believed any more
  switch (frame.type) {
    case FrameType::hello:
      if (std::exchange(said_hello_, true)) return violated("a second hello");
      if (ready() && !dying_ && owner_ != nullptr) owner_->worker_ready(*this);
      return;
    case FrameType::value:
    case FrameType::exception:
    case FrameType::failure:
      if (job_ == nullptr || frame.call_id != job_->booking.id) return violated("an outcome of a call it does not run");
      return accept_outcome(frame);
    case FrameType::call: return violated("a call");
  }
}

void Worker::accept_outcome(const Frame& frame) {
  try {
    switch (frame.type) {
      case FrameType::value: job_->accept(frame.payload); break;
      case FrameType::exception: job_->fail(decode_exception(job_->function_name(), frame.payload)); break;
      default: {
        Error failure = decode_failure(frame.payload);  // the worker does not know the name of what it does not know
        const bool unknown = failure.code() == Errc::unregistered_function;
        job_->fail(unknown ? unknown_to_worker_error(job_->function_name()) : std::move(failure));
      }
    }
  } catch (const DecodeError& error) {
    return violated(error.what());
  }
  if (owner_ != nullptr) owner_->worker_finished(*this, std::move(job_));
}

void Worker::channel_ended(std::string_view violation) {
  channel_ended_ = true;
  if (!violation.empty()) {
    violated(violation);
  } else if (!dead_ && owner_ != nullptr) {
    death_timer_ = loop_.call_at(deadline_after(loop_.now(), kDeathPatience), [self = shared_from_this()] {
      self->death_timer_ = 0;
      self->violated("it closed its channel and went on");
    });
  }
  check_gone();
}

void Worker::violated(std::string_view violation) {
  if (failure_.empty()) failure_ = "was killed because it broke the protocol: " + std::string(violation);
  send_sigkill();
  if (!std::exchange(dying_, true) && owner_ != nullptr) owner_->worker_dying(*this);
}

void Worker::send_sigkill() const noexcept {
  if (pidfd_) ::syscall(SYS_pidfd_send_signal, pidfd_->get(), SIGKILL, nullptr, 0);
}

void Worker::kill() noexcept {
  killed_ = true;
  dying_ = true;
  send_sigkill();
}

void Worker::dismiss() noexcept {
  killed_ = true;
  dying_ = true;
  channel_->finish();
}

void Worker::let_go() noexcept {
  owner_ = nullptr;
  loop_.cancel_timer(exit_status_timer_);
  loop_.cancel_timer(death_timer_);
  loop_.ring().cancel(std::exchange(death_watch_, 0));
  if (channel_) channel_->let_go();
}

bool Worker::had_begun(const Job& job) const noexcept { return status_->begun.load() == job.booking.id; }

std::string Worker::describe_end() const {
  const std::string who = "worker process " + std::to_string(pid_);
  if (!failure_.empty()) return pid_ == 0 ? failure_ : who + " " + failure_;
  if (!wait_status_) return who + " ended, how is not known because its fork server was gone";
  if (WIFSIGNALED(*wait_status_)) {
    const int signal = WTERMSIG(*wait_status_);
    const char* const name = ::sigabbrev_np(signal);
    return who + " was killed by signal " + std::to_string(signal) +
           (name == nullptr ? "" : " (SIG" + std::string(name) + ", " + ::sigdescr_np(signal) + ")");
  }
  return who + " exited with code " + std::to_string(WEXITSTATUS(*wait_status_));
}

}  // namespace leasepool::detail
