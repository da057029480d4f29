// A worker: decode, run, encode, reply. It knows frames and the registry, nothing of loops.
#include "pool/worker_main.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "leasepool/detail/job.hpp"
#include "pool/exception_codec.hpp"
#include "pool/registry.hpp"
#include "pool/status_page.hpp"
#include "wire/frame.hpp"

namespace leasepool::detail {

namespace {

constexpr int kChannelBroken = 70;  // EX_SOFTWARE of sysexits.h

class WorkerProcess {
 public:
  WorkerProcess(UniqueFd channel, StatusPage status, std::uint64_t max_payload)
      : channel_(std::move(channel)), status_(std::move(status)), max_payload_(max_payload), decoder_(max_payload) {}

  void serve();

 private:
  bool receive();
  void send(const Bytes& frame) const;
  [[nodiscard]] Bytes execute(const Frame& call) const;
  FrameType run(const RegisteredFunction& function, Invocation& invocation, Bytes& reply) const;

  UniqueFd channel_;
  StatusPage status_;
  std::uint64_t max_payload_;
  FrameDecoder decoder_;
};

void WorkerProcess::serve() {
  Bytes hello = begin_frame();
  finish_frame(hello, FrameType::hello, 0, 0);
  send(hello);
  while (receive()) {
    while (const auto frame = decoder_.next()) {
      if (frame->type != FrameType::call) ::_exit(kChannelBroken);
      const std::uint64_t call_id = frame->call_id;
      status_->begun.store(call_id);
      const Bytes reply = execute(*frame);
      status_->ended.store(call_id);
      std::fflush(stdout);  // a worker may be killed at any time: what a function printed is out before its result
      send(reply);
    }
  }
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
    ByteWriter result(reply, max_payload_);
    Invocation invocation{.arguments = call.payload, .result = &result};
    type = run(*function, invocation, reply);
    if (type == FrameType::value && !result.fits()) {
      reply = begin_frame();
      type = FrameType::failure;
      const Error error = payload_too_large_error(function->name, "the result", result.written(), max_payload_);
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
      encode_current_exception(reply, report_limit(max_payload_));
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

void worker_main(UniqueFd channel, UniqueFd status_page, std::uint64_t max_payload) noexcept {
  detach_standard_input();
  ::on_exit(exit_without_destructors, nullptr);
  StatusPage status = StatusPage::map(status_page.get());
  status_page.reset();
  try {
    WorkerProcess(std::move(channel), std::move(status), max_payload).serve();
  } catch (...) {
    ::_exit(kChannelBroken);  // a frame that is none: the parent is not itself any more
  }
  std::fflush(nullptr);
  ::_exit(0);
}

}  // namespace leasepool::detail
