// A worker: decode, run, encode, reply. It knows frames and the registry, nothing of loops.
#include "pool/worker_main.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <stdio_ext.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/detail/serialize.hpp"
#include "leasepool/log.hpp"
#include "pool/exception_codec.hpp"
#include "pool/registry.hpp"
#include "pool/sandbox.hpp"
#include "pool/stack_capture.hpp"
#include "pool/status_page.hpp"
#include "pool/worker_channel.hpp"
#include "pool/worker_limits.hpp"
#include "pool/worker_log.hpp"
#include "wire/frame.hpp"

namespace leasepool::detail {

namespace {

// Of this process, for note_out_of_memory(): a new_handler has no argument. Set once, before the first call.
WorkerStatus*& own_status() {
  static WorkerStatus* status = nullptr;
  return status;
}

void note_out_of_memory() {
  WorkerStatus* const status = own_status();
  status->out_of_memory.store(status->begun.load());
  throw std::bad_alloc();
}

// Whether this process is the worker, and not one that a function forked: that must not go on in its place.
bool& is_the_worker() {
  static bool is_it = true;
  return is_it;
}

[[noreturn]] void end_forked_child(const Frame& call) {
  const RegisteredFunction* const function = find_function_by_id(call.function_id);
  log(LogLevel::warning, "a process that " + std::string(function == nullptr ? "a function" : function->name) +
                             " forked came back from it, and is ended: let it call _exit() or exec()");
  ::_exit(0);
}

class WorkerProcess {
 public:
  WorkerProcess(UniqueFd channel, StatusPage status, UniqueFd status_file, const WorkerSettings& settings)
      : status_(std::move(status)),
        settings_(settings),
        channel_(std::move(channel), status_, std::move(status_file), settings_) {}

  void serve(int cgroup_error);

 private:
  using Reply = WorkerChannel::Reply;

  void say_hello(int cgroup_error);
  std::optional<Error> settle_in(int cgroup_error);
  SandboxPaths receive_paths();
  bool claim(std::uint64_t call_id);
  void note_begin(std::uint64_t call_id) const;
  void note_end(std::uint64_t call_id) const;
  [[nodiscard]] Reply execute(const Frame& call);
  FrameType run(const RegisteredFunction& function, Invocation& invocation, Bytes& reply) const;
  FrameType check_limits(const RegisteredFunction& function, const Invocation& invocation, Bytes& reply) const;

  StatusPage status_;
  const WorkerSettings settings_;
  WorkerChannel channel_;
  UniqueFd memory_use_file_;
  Bytes frame_;                 // being made
  std::uint64_t received_ = 0;  // calls
};

void WorkerProcess::serve(int cgroup_error) {
  say_hello(cgroup_error);
  while (const auto frame = channel_.next_call()) {
    if (frame->type != FrameType::call) ::_exit(kChannelBroken);
    if (!claim(frame->call_id)) continue;
    note_begin(frame->call_id);
    Reply outcome = execute(*frame);
    if (!is_the_worker()) end_forked_child(*frame);
    note_end(frame->call_id);
    if (__fpending(stdout) != 0) std::fflush(stdout);  // a worker may be killed at any time, after a result too
    channel_.reply(*frame, outcome);
    frame_ = std::move(outcome.frame);
  }
}

// Or why not, and then the parent kills this process.
void WorkerProcess::say_hello(int cgroup_error) {
  const auto failure = settle_in(cgroup_error);
  Bytes hello = begin_frame();
  if (failure) encode_failure(hello, static_cast<Errc>(failure->code().value()), failure->message());
  finish_frame(hello, failure ? FrameType::failure : FrameType::hello, 0, 0);
  channel_.send(hello.view());
  std::set_new_handler(note_out_of_memory);
}

// All that the process sets on itself. The sandbox last: it forbids the rest.
std::optional<Error> WorkerProcess::settle_in(int cgroup_error) {
  if (cgroup_error != 0) {
    return Error(Errc::pool_broken, std::string("could not enter its cgroup: ") + std::strerror(cgroup_error));
  }
  if (settings_.reports_memory != 0) memory_use_file_ = open_memory_use();
  const SandboxPaths paths = settings_.sandbox == Sandbox::Profile::files ? receive_paths() : SandboxPaths{};
  if (const auto failure = set_limits(settings_)) return Error(Errc::pool_broken, *failure);
  return enter_sandbox(settings_, paths, *status_.operator->());
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

// False when the parent has taken the call back, which then is not this worker's to run.
bool WorkerProcess::claim(std::uint64_t call_id) {
  if (call_id == kInitializerCall) return true;
  return status_->claims[received_++ % WorkerStatus::kClaims].compare_exchange_strong(call_id, 0);
}

void WorkerProcess::note_begin(std::uint64_t call_id) const {
  status_->begun.store(call_id, std::memory_order_release);
  if (settings_.cpu_seconds_per_call != WorkerSettings::kNoLimit) limit_cpu_time(settings_.cpu_seconds_per_call);
}

void WorkerProcess::note_end(std::uint64_t call_id) const {
  status_->ended.store(call_id, std::memory_order_release);
  if (settings_.reports_memory != 0) status_->resident_memory.store(resident_memory(memory_use_file_));
}

WorkerProcess::Reply WorkerProcess::execute(const Frame& call) {
  Reply reply{.frame = std::move(frame_), .descriptors = {}};
  begin_frame_in(reply.frame);
  const TimePoint begun = monotonic_now();
  FrameType type = FrameType::failure;
  const RegisteredFunction* const function = find_function_by_id(call.function_id);
  if (function == nullptr) {
    encode_failure(reply.frame, Errc::unregistered_function,
                   "the worker process does not know the function: it was registered by a library that was loaded "
                   "after leasepool::init()");
  } else if (function->invoke == nullptr) {
    encode_failure(reply.frame, Errc::not_serializable,
                   std::string(function->name) + " has types in its signature that cannot be encoded");
  } else if (call.lost_descriptors != 0) {
    const Error error = lost_descriptors_error(function->name, "decoding its arguments", call.lost_descriptors,
                                               "raise WorkerLimits::open_files or ulimit -n");
    encode_failure(reply.frame, Errc::bad_payload, error.message());
  } else {
    ByteWriter result(reply.frame, settings_.max_payload);
    DescriptorWriter descriptors;
    Invocation invocation{.arguments = call.payload,
                          .descriptors = call.descriptors,
                          .result = &result,
                          .result_descriptors = &descriptors};
    type = run(*function, invocation, reply.frame);
    if (type == FrameType::value) type = check_limits(*function, invocation, reply.frame);
    if (type == FrameType::value) reply.descriptors = descriptors.take();
  }
  const auto ran = static_cast<std::uint64_t>((monotonic_now() - begun).count());
  finish_frame(reply.frame, type, call.call_id, ran, reply.descriptors.size());
  return reply;
}

// Puts a failure in the place of a result that is too large.
FrameType WorkerProcess::check_limits(const RegisteredFunction& function, const Invocation& invocation,
                                      Bytes& reply) const {
  if (invocation.result->fits() && invocation.result_descriptors->fits()) return FrameType::value;
  const Error error =
      invocation.result->fits()
          ? too_many_descriptors_error(function.name, "the result", invocation.result_descriptors->written())
          : payload_too_large_error(function.name, "the result", invocation.result->written(), settings_.max_payload);
  reply = begin_frame();
  encode_failure(reply, Errc::payload_too_large, error.message());
  return FrameType::failure;
}

FrameType WorkerProcess::run(const RegisteredFunction& function, Invocation& invocation, Bytes& reply) const {
  try {
    function.invoke(invocation);
    return FrameType::value;
  } catch (...) {
    reply = begin_frame();  // without what was encoded of a result
    if (invocation.phase == CallPhase::running) {
      encode_current_exception(reply, report_limit(settings_.max_payload));
      return FrameType::exception;
    }
    const char* const what = invocation.phase == CallPhase::decoding ? "decoding its arguments" : "encoding its result";
    encode_failure(reply, Errc::bad_payload,
                   bad_payload_error(function.name, what, describe_current_exception()).message());
    return FrameType::failure;
  }
}

// A function that calls exit() ends the worker; the program's own static objects are not the worker's to destroy.
void exit_without_destructors(int status, void* /*unused*/) {
  std::fflush(nullptr);
  ::_exit(status);
}

void detach_standard_input() {
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (nothing) ::dup2(nothing.get(), STDIN_FILENO);
}

}  // namespace

void worker_main(UniqueFd channel, UniqueFd status_file, const WorkerSettings& settings, int cgroup_error) noexcept {
  detach_standard_input();
  ::on_exit(exit_without_destructors, nullptr);
  StatusPage status = StatusPage::map(status_file.get());
  own_status() = status.operator->();
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // so that lines come when they are printed, and before a crash
  log_to_parent(*status.operator->());
  ::pthread_atfork(nullptr, nullptr, [] { is_the_worker() = false; });
  note_stacks_in(*status.operator->());
  try {
    WorkerProcess(std::move(channel), std::move(status), std::move(status_file), settings).serve(cgroup_error);
  } catch (...) {
    ::_exit(kChannelBroken);  // a frame that is none: the parent is not itself any more
  }
  std::fflush(nullptr);
  ::_exit(0);
}

}  // namespace leasepool::detail
