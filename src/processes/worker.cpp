// A worker from its start to its last frame: what it is sent, what it says, what is not believed.
#include "processes/worker.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <random>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "leasepool/detail/serialize.hpp"
#include "sandbox/sandbox.hpp"
#include "shared/exception_codec.hpp"
#include "shared/pidfd.hpp"
#include "shared/registry.hpp"

namespace leasepool::detail {

namespace {

WorkerSettings settings_of(const PoolOptions& options) {
  constexpr std::uint64_t kNoLimit = WorkerSettings::kNoLimit;
  WorkerSettings settings{.max_payload = options.max_payload,
                          .memory = options.limits.memory.value_or(kNoLimit),
                          .cpu_seconds_per_call = kNoLimit,
                          .open_files = options.limits.open_files.value_or(kNoLimit),
                          .core_size = options.limits.core_size.value_or(kNoLimit),
                          .niceness = options.limits.niceness,
                          .reports_memory = options.max_worker_rss == 0 ? 0 : 1,
                          .spin = static_cast<std::uint64_t>(options.spin.count()),
                          .sandbox = options.sandbox.profile(),
                          .best_effort = static_cast<std::uint16_t>(options.sandbox.is_best_effort())};
  if (options.limits.cpu_time && *options.limits.cpu_time != Duration::max()) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*options.limits.cpu_time);
    settings.cpu_seconds_per_call = static_cast<std::uint64_t>(seconds.count());
  }
  return settings;
}

// The paths of Sandbox::files(), which have no room in WorkerSettings.
Bytes sandbox_frame(const Sandbox& sandbox) {
  Bytes frame = begin_frame();
  ByteWriter writer(frame, SIZE_MAX / 2);
  DescriptorWriter none;
  encode(writer, none, sandbox.readable(), sandbox.writable());
  finish_frame(frame, FrameType::sandbox, 0, 0);
  return frame;
}

// Each worker goes a little earlier than the limit says, so that those that started together do not go together.
std::uint64_t with_jitter(std::uint64_t limit) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return limit - std::uniform_int_distribution<std::uint64_t>(0, limit / 10)(random);
}

std::uint64_t most_calls(const PoolOptions& options) {
  if (options.worker_reuse == WorkerReuse::call) return 1;
  return options.max_calls_per_worker == 0 ? UINT64_MAX : with_jitter(options.max_calls_per_worker);
}

TimePoint end_of_age(TimePoint now, Duration most) {
  if (most == Duration::max()) return kNever;
  return deadline_after(now,
                        Duration(static_cast<std::int64_t>(with_jitter(static_cast<std::uint64_t>(most.count())))));
}

std::string_view name_of(FunctionId function) {
  const RegisteredFunction* const known = find_function_by_id(function);
  return known == nullptr ? std::string_view() : known->name;
}

}  // namespace

Worker::Worker(LoopCore& loop, WorkerOwner& owner, std::uint64_t id, const PoolOptions& options,
               std::shared_ptr<RunTimes> run_times)
    : loop_(loop),
      owner_(&owner),
      id_(id),
      settings_(settings_of(options)),
      sandbox_(options.sandbox),
      most_calls_(most_calls(options)),
      end_of_age_(end_of_age(loop.now(), options.max_worker_age)),
      most_resident_memory_(options.max_worker_rss == 0 ? WorkerSettings::kNoLimit
                                                        : with_jitter(options.max_worker_rss)),
      decode_limits_(options.decode_limits),
      spin_(options.spin),
      shares_memory_(options.shared_memory),
      run_times_(std::move(run_times)),
      initializer_(options.initializer) {}

SpawnRequest Worker::prepare(const std::shared_ptr<const UniqueFd>& delegated_cgroup) {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  auto [page, page_fd] = StatusPage::create(shares_memory_, ArgumentMemory::room_for(settings_.max_payload));
  status_ = std::move(page);
  arguments_ = ArgumentMemory(status_.arguments());
  sent_ = SentCalls(status_.operator->());
  const std::uint64_t limit = std::max<std::uint64_t>(settings_.max_payload, report_limit(settings_.max_payload));
  channel_ = std::make_shared<SharedChannel>(
      loop_, std::move(ours), RingPair{.out = status_.calls(), .in = status_.outcomes()}, limit, spin_, *this);
  channel_->open();
  output_ = std::make_shared<WorkerOutput>(
      loop_, [this](const WorkerLine& line) { printed(line); },
      [this](std::uint64_t lines) {
        if (owner_ != nullptr) owner_->worker_dropped_lines(lines);
      });
  auto [standard_output, standard_error] = output_->open();
  if (delegated_cgroup) cgroup_ = std::make_shared<WorkerCgroup>(delegated_cgroup, id_, settings_.memory);
  UniqueFd cgroup = share_cgroup();
  if (cgroup_ && !cgroup) throw std::system_error(errno, std::generic_category(), "leasepool: fcntl(F_DUPFD_CLOEXEC)");
  WorkerSettings settings = settings_;
  settings.memory_bounded = cgroup_ && cgroup_->bounds_memory() ? 1 : 0;
  if (sandbox_.profile() == Sandbox::Profile::files) channel_->send_first(sandbox_frame(sandbox_));
  return {.worker_id = id_,
          .channel = std::move(theirs),
          .status_page = std::move(page_fd),
          .standard_output = std::move(standard_output),
          .standard_error = std::move(standard_error),
          .cgroup = std::move(cgroup),
          .settings = settings,
          .name = {}};
}

void Worker::spawned(SpawnedProcess process) {
  check(!pidfd_, "a worker is forked once");
  pid_ = process.pid;
  pidfd_ = std::move(process.pidfd);
  if (!watch_death()) return;
  if (ended_by_us_ || !failure_.empty()) return send_sigkill();  // wanted before there was anything to kill
  if (said_hello_) greet();
}

// It is there, and can be killed.
void Worker::greet() { initializer_ ? initialize() : come_up(); }

void Worker::enter(WorkerState next) noexcept {
  const bool next_in_line = static_cast<int>(next) == static_cast<int>(state_) + 1;
  const bool fails_to_start = state_ == WorkerState::starting && next == WorkerState::dying;
  check(next_in_line || fails_to_start, "a worker starts, serves, dies and is gone, in this order");
  state_ = next;
}

void Worker::come_up() {
  if (dying()) return;
  check(said_hello_ && pidfd_ && !initializer_, "a worker that serves is known and initialized");
  enter(WorkerState::serving);
  came_up_ = true;
  if (owner_ != nullptr) owner_->worker_ready(*this);
}

bool Worker::begin_dying() noexcept {
  if (dying()) return false;
  enter(WorkerState::dying);
  return true;
}

void Worker::not_spawned(std::string_view reason) {
  note_failure(reason, {});
  exit_known_ = true;
  died();
}

void Worker::frame_received(const Frame& frame) {
  if (ended_by_us_ || !failure_.empty()) return;  // its job was taken away, or nothing it says is believed any more
  if (frame.lost_descriptors != 0 && !frame.lost_here)
    return violated("a frame with fewer descriptors than it announces");
  switch (frame.type) {
    case FrameType::hello:
      if (std::exchange(said_hello_, true)) return violated("a second hello");
      if (pidfd_) greet();
      return;
    case FrameType::value:
    case FrameType::exception:
    case FrameType::failure:
      if (!said_hello_ && frame.type == FrameType::failure) return refused_to_start(frame);
      if (initializing_) return initialized(frame);
      if (!sent_.is_due(frame.call_id) || sent_.due_is_refused()) {
        return violated("an outcome of a call it does not run");
      }
      return accept_outcome(frame);
    case FrameType::refused_call:
      if (!sent_.is_due(frame.call_id) || !sent_.due_is_refused()) return violated("a call that it was not refused");
      return accept_refusal();
    case FrameType::call:
    case FrameType::large_call: return violated("a call");
    case FrameType::sandbox: return violated("a sandbox");
    case FrameType::via_socket:
    case FrameType::wake: return violated("a frame of its channel's own");
  }
}

void Worker::refused_to_start(const Frame& frame) {
  try {
    const Error failure = decode_failure(frame.payload);
    failure_code_ = errc_of(failure.code());
    give_up(failure.message());
  } catch (const DecodeError& error) {
    violated(error.what());
  } catch (const std::bad_alloc&) {
    give_up("could not start, and there is no memory to tell why");
  }
}

void Worker::violated(std::string_view violation) { give_up("was killed because it broke the protocol: ", violation); }

void Worker::note_failure(std::string_view reason, std::string_view what) noexcept {
  if (!failure_.empty()) return;
  try {
    failure_ = std::string(reason).append(what);
  } catch (const std::bad_alloc&) {
    failure_ = "has failed";  // short, and so without memory of its own
  }
}

void Worker::give_up(std::string_view reason, std::string_view what) {
  note_failure(reason, what);
  send_sigkill();
  if (begin_dying() && owner_ != nullptr) owner_->worker_dying(*this);
}

// Where the line says of which call and time it is, that is believed of a call that the worker was sent, and of a time
// at which there was a worker.
void Worker::printed(const WorkerLine& line) {
  if (owner_ == nullptr) return;
  const std::uint64_t dropped = status_->dropped_lines.load();
  if (dropped > dropped_lines_) owner_->worker_dropped_lines(dropped - dropped_lines_);
  dropped_lines_ = dropped;
  if (!owner_->takes_line(line.text.size())) return owner_->worker_dropped_lines(1);
  const Job* job = sent_.find(line.origin.call_id);
  const RecentCalls::Call* recent = job == nullptr ? recent_.find(line.origin.call_id) : nullptr;
  if (job == nullptr && recent == nullptr) {
    job = sent_.running();
    recent = &recent_.last();
  }
  const auto now = std::chrono::system_clock::now();
  const bool has_time = line.origin.time >= made_at_ && line.origin.time <= now;
  owner_->worker_printed({.time = has_time ? line.origin.time : now,
                          .level = line.level,
                          .source = line.source,
                          .text = line.text,
                          .worker_id = id_,
                          .pid = pid_,
                          .owner = job == nullptr ? recent->owner() : job->state.owner(),
                          .function = job == nullptr ? name_of(recent->function) : job->function_name()});
}

bool Worker::due_for_recycling() const noexcept {
  return calls_ >= most_calls_ || (end_of_age_ != kNever && loop_.now() >= end_of_age_) ||
         (most_resident_memory_ != WorkerSettings::kNoLimit && status_->resident_memory.load() > most_resident_memory_);
}

}  // namespace leasepool::detail
