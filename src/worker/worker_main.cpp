// A worker: decode, run, encode, reply. It knows frames and the registry, nothing of loops.
#include "worker/worker_main.hpp"

#include <stdio_ext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.hpp"
#include "base/worker_values.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/detail/keep_result.hpp"
#include "leasepool/detail/serialize.hpp"
#include "leasepool/log.hpp"
#include "sandbox/sandbox.hpp"
#include "shared/call_errors.hpp"
#include "shared/exception_codec.hpp"
#include "shared/registry.hpp"
#include "shared/status_page.hpp"
#include "wire/frame.hpp"
#include "worker/run_samples.hpp"
#include "worker/worker_channel.hpp"
#include "worker/worker_limits.hpp"
#include "worker/worker_setup.hpp"

namespace leasepool::detail {

namespace {

// Of this process, for note_out_of_memory(): a new_handler has no argument. Set once, before the first call; none in
// the fork server.
WorkerStatus*& own_status() noexcept {
  static WorkerStatus* status = nullptr;
  return status;
}

void note_out_of_memory() {
  if (WorkerStatus* const status = own_status()) status->out_of_memory.store(status->begun.load());
  throw std::bad_alloc();
}

[[noreturn]] void end_forked_child(const Frame& call) {
  const RegisteredFunction* const function = find_function_by_id(call.function_id);
  log(LogLevel::warning, "a process that " + std::string(function == nullptr ? "a function" : function->name) +
                             " forked came back from it, and is ended: let it call _exit() or exec()");
  ::_exit(0);
}

// In the room that a frame has: nothing here needs memory.
void fail_briefly(Bytes& frame, Errc code, std::initializer_list<std::string_view> pieces) noexcept {
  std::array<char, 1024> text;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled as far as it is used
  std::size_t size = 0;
  for (const std::string_view piece : pieces) size += piece.copy(text.data() + size, text.size() - size);
  frame.resize(kFrameHeaderSize);
  const std::size_t room = frame.capacity() - frame.size() - kFailureOverhead;
  encode_failure(frame, code, {text.data(), std::min(size, room)});
}

class WorkerProcess {
 public:
  WorkerProcess(UniqueFd channel, StatusPage status, UniqueFd status_file, const WorkerSettings& settings,
                const WorkerTitle& title)
      : status_(std::move(status)),
        settings_(settings),
        title_(title),
        channel_(std::move(channel), status_, std::move(status_file), settings_) {}

  // Returns what could not be set, or had.
  std::optional<Error> get_ready(std::optional<Error> failure);
  void say_hello() const { channel_.send(empty_frame(FrameType::hello)); }
  void serve();

 private:
  using Reply = WorkerChannel::Reply;

  SandboxPaths receive_paths();
  [[nodiscard]] std::atomic<std::uint64_t>& next_claim() const noexcept {
    return status_->claims[received_ % WorkerStatus::kClaims];
  }
  bool claim(std::uint64_t call_id);
  void pass(const Frame& refused);
  void note_begin(std::uint64_t call_id) const;
  void note_end(std::uint64_t call_id) const;
  void execute(const Frame& call);
  FrameType attempt(const Frame& call);
  FrameType run(const RegisteredFunction& function, Invocation& invocation);
  FrameType encode_exception(const RegisteredFunction& function);
  FrameType check_limits(const RegisteredFunction& function, const Invocation& invocation);

  StatusPage status_;
  const WorkerSettings settings_;
  WorkerTitle title_;
  WorkerChannel channel_;
  UniqueFd memory_use_file_;
  Reply reply_;  // being made; has always room for a brief failure
  RunSamples samples_;
  std::uint64_t received_ = 0;  // calls
};

void WorkerProcess::serve() {
  while (const auto frame = channel_.next_call(next_claim())) {
    if (frame->type != FrameType::call && frame->type != FrameType::refused_call) ::_exit(kChannelBroken);
    if (!claim(frame->call_id)) continue;
    if (frame->type == FrameType::refused_call) {
      pass(*frame);
      continue;
    }
    note_begin(frame->call_id);
    execute(*frame);
    if (!is_the_worker()) end_forked_child(*frame);
    note_end(frame->call_id);
    if (__fpending(stdout) != 0) std::fflush(stdout);  // a worker may be killed at any time, after a result too
    channel_.reply(*frame, reply_);
  }
}

// The sandbox last: it forbids the rest.
std::optional<Error> WorkerProcess::get_ready(std::optional<Error> failure) {
  if (failure) return failure;
  if (auto not_set_up = set_up_worker_process(*status_.operator->())) return not_set_up;
  reply_.frame = begin_frame();
  channel_.reserve();
  if (settings_.reports_memory != 0) memory_use_file_ = open_memory_use();
  if (settings_.reports_memory != 0 && !memory_use_file_) {
    return Error(Errc::pool_broken, std::string("cannot watch its memory for ManagerOptions::max_worker_rss: "
                                                "open(/proc/self/statm): ") +
                                        std::strerror(errno));
  }
  const SandboxPaths paths = settings_.sandbox == Sandbox::Profile::files ? receive_paths() : SandboxPaths{};
  if (const auto no_limits = set_limits(settings_)) return Error(Errc::pool_broken, *no_limits);
  if (auto no_sandbox = enter_sandbox(settings_, paths, *status_.operator->())) return no_sandbox;
  if (const int error = channel_.try_to_receive(); error != 0) {
    return Error(Errc::pool_broken, std::string("cannot receive calls: recv: ") + std::strerror(error));
  }
  return std::nullopt;
}

SandboxPaths WorkerProcess::receive_paths() {
  SandboxPaths paths;
  const bool came = channel_.first_frame([&](const Frame& frame) {
    if (frame.type != FrameType::sandbox) ::_exit(kChannelBroken);
    ByteReader reader(frame.payload);
    DescriptorReader none({});
    decode(reader, none, paths.readable, paths.writable);
  });
  if (!came) ::_exit(kChannelBroken);
  return paths;
}

// Nothing has begun: says that the place of a call is behind it.
void WorkerProcess::pass(const Frame& refused) {
  reply_.frame.resize(kFrameHeaderSize);
  reply_.descriptors.clear();
  finish_frame(reply_.frame, FrameType::refused_call, refused.call_id, 0);
  channel_.reply(refused, reply_);
}

// False when the parent has taken the call back, which then is not this worker's to run.
bool WorkerProcess::claim(std::uint64_t call_id) {
  if (call_id == kInitializerCall) return true;
  const bool had = next_claim().compare_exchange_strong(call_id, 0);
  ++received_;
  return had;
}

void WorkerProcess::note_begin(std::uint64_t call_id) const {
  status_->begun.store(call_id, std::memory_order_release);
  if (settings_.cpu_seconds_per_call != WorkerSettings::kNoLimit) (void)limit_cpu_time(settings_.cpu_seconds_per_call);
}

void WorkerProcess::note_end(std::uint64_t call_id) const {
  status_->ended.store(call_id, std::memory_order_release);
  if (settings_.reports_memory != 0) status_->resident_memory.store(resident_memory(memory_use_file_));
}

// Where there is no memory for more, the reply says so in the room that it has.
void WorkerProcess::execute(const Frame& call) {
  begin_frame_in(reply_.frame);
  reply_.descriptors.clear();
  const bool is_measured = samples_.wanted(call.function_id);
  const TimePoint begun = is_measured ? monotonic_now() : TimePoint{};
  FrameType type = FrameType::failure;
  try {
    type = attempt(call);
  } catch (const std::bad_alloc&) {
    const RegisteredFunction* const function = find_function_by_id(call.function_id);
    fail_briefly(reply_.frame, Errc::bad_payload,
                 {"calling ", function == nullptr ? "a function" : function->name,
                  " failed: its worker had no memory to say more"});
  }
  std::uint64_t ran = kNotMeasured;
  if (is_measured) {
    const Duration measured = monotonic_now() - begun;
    samples_.measured(call.function_id, measured);
    ran = static_cast<std::uint64_t>(measured.count());
  }
  finish_frame(reply_.frame, type, call.call_id, ran, reply_.descriptors.size());
}

FrameType WorkerProcess::attempt(const Frame& call) {
  const RegisteredFunction* const function = find_function_by_id(call.function_id);
  if (function == nullptr) {
    encode_failure(reply_.frame, Errc::unregistered_function,
                   "the worker process does not know the function: it was registered by a library that was loaded, or "
                   "loaded again, after leasepool::init()");
    return FrameType::failure;
  }
  if (call.lost_descriptors != 0) {
    const Error error = lost_descriptors_error(function->name, "decoding its arguments", call.lost_descriptors,
                                               "raise WorkerLimits::open_files or ulimit -n");
    encode_failure(reply_.frame, Errc::bad_payload, error.message(), false);
    return FrameType::failure;
  }
  ByteWriter result(reply_.frame, settings_.max_payload);
  DescriptorWriter descriptors;
  Invocation invocation{.arguments = call.payload,
                        .descriptors = call.descriptors,
                        .result = &result,
                        .result_descriptors = &descriptors};
  const FrameType type = run(*function, invocation);
  if (type != FrameType::value) return type;
  if (check_limits(*function, invocation) != FrameType::value) return FrameType::failure;
  reply_.descriptors = descriptors.take();
  return FrameType::value;
}

// Puts a failure in the place of a result that is too large.
FrameType WorkerProcess::check_limits(const RegisteredFunction& function, const Invocation& invocation) {
  if (invocation.result->fits() && invocation.result_descriptors->fits()) return FrameType::value;
  begin_frame_in(reply_.frame);
  try {
    const Error error =
        invocation.result->fits()
            ? too_many_descriptors_error(function.name, "the result", invocation.result_descriptors->written())
            : payload_too_large_error(function.name, "the result", invocation.result->written(), settings_.max_payload);
    encode_failure(reply_.frame, Errc::payload_too_large, error.message());
  } catch (const std::bad_alloc&) {
    fail_briefly(reply_.frame, Errc::payload_too_large,
                 {"the result of ", function.name, " is too large, and its worker had no memory to say how large"});
  }
  return FrameType::failure;
}

FrameType WorkerProcess::run(const RegisteredFunction& function, Invocation& invocation) {
  title_.begin(function.name);
  try {
    function.invoke.load()(invocation);
    title_.end();
    return FrameType::value;
  } catch (...) {
    title_.end();
    begin_frame_in(reply_.frame);  // without what was encoded of a result
    if (invocation.phase == CallPhase::running) return encode_exception(function);
    const char* const what = invocation.phase == CallPhase::decoding ? "decoding its arguments" : "encoding its result";
    try {
      encode_failure(reply_.frame, Errc::bad_payload,
                     bad_payload_error(function.name, what, describe_current_exception()).message(),
                     invocation.phase != CallPhase::decoding);
    } catch (const std::bad_alloc&) {
      fail_briefly(reply_.frame, Errc::bad_payload,
                   {"calling ", function.name, " failed while ", what, ": its worker had no memory to say more"});
    }
    return FrameType::failure;
  }
}

// The one that is being handled.
FrameType WorkerProcess::encode_exception(const RegisteredFunction& function) {
  try {
    encode_current_exception(reply_.frame, report_limit(settings_.max_payload));
    return FrameType::exception;
  } catch (const std::bad_alloc&) {
    fail_briefly(reply_.frame, Errc::remote_exception,
                 {function.name, " threw an exception, and its worker had no memory to send it"});
    return FrameType::failure;
  }
}

// The parent, which reads it, then ends this process, if that has not ended by itself.
[[noreturn]] void end_instead_of_hello(int socket, Errc code, std::string_view reason) noexcept {
  std::array<std::byte, 1200> room;  // NOLINT(cppcoreguidelines-pro-type-member-init): written
  Bytes frame = Bytes::in(room);
  fail_briefly(frame, code, {reason});
  finish_frame(frame, FrameType::failure, 0, 0);
  (void)send_whole(socket, frame.view());
  ::_exit(kNotStarted);
}

}  // namespace

void prepare_worker_main() noexcept { std::set_new_handler(note_out_of_memory); }

void worker_main(UniqueFd channel, UniqueFd status_file, const WorkerSettings& settings, const WorkerTitle& title,
                 std::optional<Error> failure) noexcept {
  const int socket = channel.get();
  WorkerStatus* mapped = nullptr;
  std::optional<WorkerProcess> worker;
  try {
    StatusPage status = StatusPage::map(status_file.get());
    mapped = status.operator->();
    worker.emplace(std::move(channel), std::move(status), std::move(status_file), settings, title);
    if (const auto refusal = worker->get_ready(std::move(failure))) {
      end_instead_of_hello(socket, errc_of(refusal->code()), refusal->message());
    }
  } catch (const std::bad_alloc&) {
    end_instead_of_hello(socket, Errc::pool_broken, "ran out of memory before it was ready");
  } catch (const std::exception& error) {
    end_instead_of_hello(socket, Errc::pool_broken, error.what());
  }
  worker->say_hello();
  own_status() = mapped;
  try {
    WorkerValues values;
    const WorkerValues::OnThisThread here(values);
    worker->serve();
  } catch (const std::bad_alloc&) {
    own_status()->out_of_memory.store(WorkerStatus::kBetweenCalls);
    ::_exit(kChannelBroken);
  } catch (...) {
    ::_exit(kChannelBroken);  // a frame that is none: the parent is not itself any more
  }
  std::fflush(nullptr);
  ::_exit(0);
}

}  // namespace leasepool::detail
