// A worker: decode, run, encode, reply. It knows frames and the registry, nothing of loops.
#include "pool/worker_main.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "leasepool/detail/job.hpp"
#include "pool/exception_codec.hpp"
#include "pool/registry.hpp"
#include "pool/status_page.hpp"
#include "pool/worker_limits.hpp"
#include "wire/frame.hpp"

namespace leasepool::detail {

namespace {

constexpr int kChannelBroken = 70;  // EX_SOFTWARE of sysexits.h

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

class WorkerProcess {
 public:
  WorkerProcess(UniqueFd channel, StatusPage status, const WorkerSettings& settings)
      : channel_(std::move(channel)), status_(std::move(status)), settings_(settings), decoder_(settings.max_payload) {}

  void serve();

 private:
  bool receive();
  void send(const Bytes& frame) const;
  void say_hello() const;
  bool claim(std::uint64_t call_id);
  void note_begin(std::uint64_t call_id) const;
  void note_end(std::uint64_t call_id) const;
  [[nodiscard]] Bytes execute(const Frame& call) const;
  FrameType run(const RegisteredFunction& function, Invocation& invocation, Bytes& reply) const;

  UniqueFd channel_;
  StatusPage status_;
  const WorkerSettings settings_;
  FrameDecoder decoder_;
  std::uint64_t received_ = 0;  // calls
};

void WorkerProcess::serve() {
  say_hello();
  while (receive()) {
    while (const auto frame = decoder_.next()) {
      if (frame->type != FrameType::call) ::_exit(kChannelBroken);
      const std::uint64_t call_id = frame->call_id;
      if (!claim(call_id)) continue;
      note_begin(call_id);
      const Bytes reply = execute(*frame);
      note_end(call_id);
      std::fflush(stdout);  // a worker may be killed at any time: what a function printed is out before its result
      send(reply);
    }
  }
}

// Or why not, and then the parent kills this process.
void WorkerProcess::say_hello() const {
  const auto failure = set_limits(settings_);
  Bytes hello = begin_frame();
  if (failure) encode_failure(hello, Errc::pool_broken, *failure);
  finish_frame(hello, failure ? FrameType::failure : FrameType::hello, 0, 0);
  send(hello);
  std::set_new_handler(note_out_of_memory);
}

// False when the parent has taken the call back, which then is not this worker's to run.
bool WorkerProcess::claim(std::uint64_t call_id) {
  return status_->claims[received_++ % WorkerStatus::kClaims].compare_exchange_strong(call_id, 0);
}

void WorkerProcess::note_begin(std::uint64_t call_id) const {
  status_->begun.store(call_id);
  if (settings_.cpu_seconds_per_call != WorkerSettings::kNoLimit) limit_cpu_time(settings_.cpu_seconds_per_call);
}

void WorkerProcess::note_end(std::uint64_t call_id) const {
  status_->ended.store(call_id);
  if (settings_.reports_memory != 0) status_->resident_memory.store(resident_memory());
}

bool WorkerProcess::receive() {
  const std::span<std::byte> space = decoder_.space();
  ssize_t received = 0;
  do {
    received = ::recv(channel_.get(), space.data(), space.size(), 0);
  } while (received < 0 && errno == EINTR);
  if (received <= 0) return false;
  decoder_.filled(static_cast<std::size_t>(received));
  return true;
}

void WorkerProcess::send(const Bytes& frame) const {
  std::span<const std::byte> left = frame.view();
  while (!left.empty()) {
    const ssize_t sent = ::send(channel_.get(), left.data(), left.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) ::_exit(kChannelBroken);  // the parent is gone
    left = left.subspan(static_cast<std::size_t>(sent));
  }
}

Bytes WorkerProcess::execute(const Frame& call) const {
  Bytes reply = begin_frame();
  FrameType type = FrameType::failure;
  const RegisteredFunction* const function = find_function_by_id(call.function_id);
  if (function == nullptr) {
    encode_failure(reply, Errc::unregistered_function,
                   "the worker process does not know the function: it was registered by a library that was loaded "
                   "after leasepool::init()");
  } else if (function->invoke == nullptr) {
    encode_failure(reply, Errc::not_serializable,
                   std::string(function->name) + " has types in its signature that cannot be encoded");
  } else {
    ByteWriter result(reply, settings_.max_payload);
    Invocation invocation{.arguments = call.payload, .result = &result};
    type = run(*function, invocation, reply);
    if (type == FrameType::value && !result.fits()) {
      reply = begin_frame();
      type = FrameType::failure;
      const Error error =
          payload_too_large_error(function->name, "the result", result.written(), settings_.max_payload);
      encode_failure(reply, Errc::payload_too_large, error.message());
    }
  }
  finish_frame(reply, type, call.call_id, 0);
  return reply;
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

void worker_main(UniqueFd channel, UniqueFd status_page, const WorkerSettings& settings) noexcept {
  detach_standard_input();
  ::on_exit(exit_without_destructors, nullptr);
  StatusPage status = StatusPage::map(status_page.get());
  status_page.reset();
  own_status() = status.operator->();
  try {
    WorkerProcess(std::move(channel), std::move(status), settings).serve();
  } catch (...) {
    ::_exit(kChannelBroken);  // a frame that is none: the parent is not itself any more
  }
  std::fflush(nullptr);
  ::_exit(0);
}

}  // namespace leasepool::detail
