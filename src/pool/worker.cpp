// A worker's frames in and out, and its end: dead is what the pidfd says; its channel is read to the end before its job
// is judged; how it ended is what the fork server reports.
#include "pool/worker.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <random>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "pool/exception_codec.hpp"
#include "pool/registry.hpp"

namespace leasepool::detail {

namespace {

// The fork server reaps within microseconds of a death; one that does not is stopped, and the caller does not wait.
constexpr Duration kExitStatusPatience = std::chrono::seconds(1);

// A process that dies closes its channel moments before; one that was dismissed may have files to flush.
constexpr Duration kDeathPatience = std::chrono::milliseconds(200);

WorkerSettings settings_of(const PoolOptions& options) {
  constexpr std::uint64_t kNoLimit = WorkerSettings::kNoLimit;
  WorkerSettings settings{.max_payload = options.max_payload,
                          .memory = options.limits.memory.value_or(kNoLimit),
                          .cpu_seconds_per_call = kNoLimit,
                          .open_files = options.limits.open_files.value_or(kNoLimit),
                          .core_size = options.limits.core_size.value_or(kNoLimit),
                          .niceness = options.limits.niceness,
                          .reports_memory = options.max_worker_rss == 0 ? 0 : 1};
  if (options.limits.cpu_time && *options.limits.cpu_time != Duration::max()) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*options.limits.cpu_time);
    settings.cpu_seconds_per_call = static_cast<std::uint64_t>(seconds.count());
  }
  return settings;
}

// Each worker goes a little earlier than the limit says, so that those that started together do not go together.
std::uint64_t nine_to_ten_tenths(std::uint64_t limit) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return limit - std::uniform_int_distribution<std::uint64_t>(0, limit / 10)(random);
}

TimePoint end_of_age(TimePoint now, Duration most) {
  if (most == Duration::max()) return kNever;
  return deadline_after(
      now, Duration(static_cast<std::int64_t>(nine_to_ten_tenths(static_cast<std::uint64_t>(most.count())))));
}

}  // namespace

Worker::Worker(LoopCore& loop, WorkerOwner& owner, std::uint64_t id, const PoolOptions& options)
    : loop_(loop),
      owner_(&owner),
      id_(id),
      settings_(settings_of(options)),
      most_calls_(options.max_calls_per_worker == 0 ? UINT64_MAX : nine_to_ten_tenths(options.max_calls_per_worker)),
      end_of_age_(end_of_age(loop.now(), options.max_worker_age)),
      most_resident_memory_(options.max_worker_rss == 0 ? UINT64_MAX : options.max_worker_rss) {}

SpawnRequest Worker::prepare() {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  auto [page, page_fd] = StatusPage::create();
  status_ = std::move(page);
  sent_ = SentCalls(status_.operator->());
  const std::uint64_t limit = std::max<std::uint64_t>(settings_.max_payload, report_limit(settings_.max_payload));
  channel_ = std::make_shared<Channel>(loop_, std::move(ours), limit, *this);
  channel_->open();
  return {.worker_id = id_,
          .channel = std::move(theirs),
          .status_page = std::move(page_fd),
          .settings = settings_,
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
  if (owner_ != nullptr) {
    Job* const job = sent_.running();
    owner_->worker_gone(*this, job == nullptr ? nullptr : sent_.forget(*job));
  }
}

std::optional<Error> Worker::run(std::unique_ptr<Job>& job) {
  auto error = queue(job);
  flush();
  return error;
}

std::optional<Error> Worker::queue(std::unique_ptr<Job>& job) {
  check(ready() && !dying_ && (idle() || has_room()), "a job goes to an idle worker, or to one that has room");
  Bytes frame = begin_frame();
  const Result<FunctionId> function = job->encode(frame, settings_.max_payload);
  if (!function) return function.error();
  finish_frame(frame, FrameType::call, job->booking.id, *function);
  sent_.add(std::move(job), frame.size());
  ++calls_;
  channel_->queue(std::move(frame));
  return std::nullopt;
}

std::unique_ptr<Job> Worker::take_back(const Job& job) {
  auto taken = sent_.take_back(job);
  if (taken) --calls_;
  return taken;
}

std::vector<std::unique_ptr<Job>> Worker::take_back_last(std::size_t count) {
  auto taken = sent_.take_back_last(count);
  calls_ -= taken.size();
  return taken;
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
      if (!said_hello_ && frame.type == FrameType::failure) return refused_to_start(frame);
      if (!sent_.is_due(frame.call_id)) return violated("an outcome of a call it does not run");
      return accept_outcome(frame);
    case FrameType::call: return violated("a call");
  }
}

void Worker::accept_outcome(const Frame& frame) {
  Job* const job = sent_.running();
  if (job != nullptr && !keep_outcome(*job, frame)) return;
  auto ended = sent_.answered();
  if (owner_ != nullptr) owner_->worker_finished(*this, std::move(ended));
}

// False when the frame is none that an honest worker sends.
bool Worker::keep_outcome(Job& job, const Frame& frame) {
  try {
    switch (frame.type) {
      case FrameType::value: job.accept(frame.payload); break;
      case FrameType::exception: job.fail(decode_exception(job.function_name(), frame.payload)); break;
      default: {
        Error failure = decode_failure(frame.payload);  // the worker does not know the name of what it does not know
        const bool unknown = failure.code() == Errc::unregistered_function;
        job.fail(unknown ? unknown_to_worker_error(job.function_name()) : std::move(failure));
      }
    }
    return true;
  } catch (const DecodeError& error) {
    violated(error.what());
    return false;
  }
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

void Worker::refused_to_start(const Frame& frame) {
  try {
    give_up(decode_failure(frame.payload).message());
  } catch (const DecodeError& error) {
    violated(error.what());
  }
}

void Worker::violated(std::string_view violation) {
  give_up("was killed because it broke the protocol: " + std::string(violation));
}

void Worker::give_up(std::string reason) {
  if (failure_.empty()) failure_ = std::move(reason);
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

bool Worker::has_served() const noexcept {
  return calls_ >= most_calls_ || loop_.now() >= end_of_age_ || status_->resident_memory.load() > most_resident_memory_;
}

bool Worker::had_begun(const Job& job) const noexcept {
  return status_->begun.load() == job.booking.id || sent_.has_begun(job.booking.id);
}

std::string Worker::describe_end() const {
  const std::string who = "worker process " + std::to_string(pid_);
  const std::uint64_t out_of_memory = status_->out_of_memory.load();
  const std::string limit = settings_.memory == WorkerSettings::kNoLimit
                                ? ""
                                : " (WorkerLimits::memory = " + std::to_string(settings_.memory) + ")";
  const std::string why =
      out_of_memory == 0 || out_of_memory != status_->begun.load() ? "" : " after it ran out of memory" + limit;
  if (!failure_.empty()) return pid_ == 0 ? failure_ : who + " " + failure_;
  if (!wait_status_) return who + " ended, how is not known because its fork server was gone";
  if (WIFSIGNALED(*wait_status_)) {
    const int signal = WTERMSIG(*wait_status_);
    const char* const name = ::sigabbrev_np(signal);
    return who + " was killed by signal " + std::to_string(signal) +
           (name == nullptr ? "" : " (SIG" + std::string(name) + ", " + ::sigdescr_np(signal) + ")") + why;
  }
  return who + " exited with code " + std::to_string(WEXITSTATUS(*wait_status_)) + why;
}

}  // namespace leasepool::detail
