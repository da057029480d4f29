// Engine: where a loop's operations run. An operation is started, runs by itself, and its completion is handed to the
// handler that came with it: the order of io_uring, which other engines follow.
//
// An operation lives from its start to its last completion, whoever started it is gone or not. A handler keeps alive
// what may be used until then (by owning it), and holds no more than a weak or cleared pointer to anything that may go
// earlier. Handlers run from run_handlers() alone.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "base/clock.hpp"
#include "leasepool/loop_engine.hpp"

namespace leasepool::detail {

// Names an operation in flight; 0 names none.
using OperationId = std::uint64_t;

struct Completion {
  int result = 0;     // >= 0, or -errno
  bool more = false;  // a multishot operation goes on; false: this is the last completion
  // Its deadline passed: the result is -ECANCELED, or what was done by then. May be set where the operation ended by
  // itself at the same moment.
  bool timed_out = false;
};
using CompletionHandler = std::move_only_function<void(Completion)>;

// What is to be done; what a member means depends on the kind.
struct Operation {
  enum class Kind : std::uint8_t {
    recv,
    send,
    recvmsg,
    sendmsg,
    read,   // of what is no socket; at an offset, or at the file's own position
    write,  // the same
    poll,
    poll_multishot,
    accept,  // close-on-exec
    accept_multishot,
    connect,
    open,  // close-on-exec
    sync,
  };
  static constexpr std::uint64_t kOwnPosition = UINT64_MAX;

  Kind kind = Kind::poll;
  int fd = -1;
  void* data = nullptr;                 // bytes, a msghdr, an address or a path
  std::size_t size = 0;                 // of that, in bytes
  std::uint64_t offset = kOwnPosition;  // of read and write
  int flags = 0;                        // of open; the events of a poll
  mode_t mode = 0;                      // of open
};

// One thread: the one that constructs it.
class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  // Nothing may be in flight, unless give_up() was called.
  virtual ~Engine() = default;

  // Starts an operation; its handler gets every completion. Buffers and descriptors are the handler's to keep. One with
  // a deadline ends there at the latest; multishot ones have none. Throws std::bad_alloc, and
  // then nothing has started.
  virtual OperationId start(const Operation& operation, CompletionHandler handler, TimePoint deadline) = 0;

  OperationId recv(int fd, std::span<std::byte> into, CompletionHandler handler, TimePoint deadline = kNever) {
    return start({.kind = Operation::Kind::recv, .fd = fd, .data = into.data(), .size = into.size()},
                 std::move(handler), deadline);
  }
  // Sends no SIGPIPE.
  OperationId send(int fd, std::span<const std::byte> from, CompletionHandler handler, TimePoint deadline = kNever) {
    return start({.kind = Operation::Kind::send, .fd = fd, .data = unconst(from.data()), .size = from.size()},
                 std::move(handler), deadline);
  }
  // The same with descriptors beside the bytes; the message is the handler's to keep, too. Received ones are
  // close-on-exec, and come with bytes only.
  OperationId recvmsg(int fd, msghdr* message, CompletionHandler handler, TimePoint deadline = kNever) {
    return start({.kind = Operation::Kind::recvmsg, .fd = fd, .data = message}, std::move(handler), deadline);
  }
  OperationId sendmsg(int fd, const msghdr* message, CompletionHandler handler, TimePoint deadline = kNever) {
    return start({.kind = Operation::Kind::sendmsg, .fd = fd, .data = unconst(message)}, std::move(handler), deadline);
  }
  OperationId poll(int fd, short events, CompletionHandler handler, TimePoint deadline = kNever) {
    return start({.kind = Operation::Kind::poll, .fd = fd, .flags = events}, std::move(handler), deadline);
  }
  OperationId poll_multishot(int fd, short events, CompletionHandler handler) {
    return start({.kind = Operation::Kind::poll_multishot, .fd = fd, .flags = events}, std::move(handler), kNever);
  }

  // Moves the deadline of an operation that has one. Nothing if it has ended or is about to.
  virtual void set_deadline(OperationId id, TimePoint deadline) noexcept = 0;

  // Asks for an operation to end early: its handler gets -ECANCELED, or whatever happened first.
  virtual void cancel(OperationId id) noexcept = 0;

  // The same, and returns its result when nothing of its buffers is used any more; the completion is handed over in its
  // time, too. For an operation in flight that ends at once when it is cancelled, as on sockets.
  virtual int cancel_and_reap(OperationId id) noexcept = 0;

  // When submit_and_wait() is to return at the latest; TimePoint::max(): whenever something completes.
  virtual void set_wakeup(TimePoint deadline) noexcept = 0;

  // Submits what was prepared and reaps what has completed; wait() first blocks until something has, the wake-up passes
  // or a signal arrives. Returns 0, or the errno for which the kernel took or gave nothing; what was prepared stays so.
  virtual int submit_and_reap() noexcept = 0;
  virtual int submit_and_wait() noexcept = 0;

  // Whether what failed so may work another time: the kernel lacked memory or room. Not EBADR: completions were
  // dropped, and whoever waits for them waits for ever.
  [[nodiscard]] static bool passes(int error) noexcept {
    return error == EAGAIN || error == EBUSY || error == EINTR || error == ETIME || error == ENOMEM;
  }

  // The kernel does not let this engine go on: what is in flight never completes. It is good for nothing then but to be
  // destroyed.
  virtual void give_up() noexcept = 0;

  // For who sleeps elsewhere: the descriptor to watch for edges, readable when there is something to reap. It is one of
  // the engine's own, or the eventfd given, to which the kernel writes then. The caller keeps that as long as the
  // engine.
  [[nodiscard]] virtual int notify(int event_fd) = 0;

  // Hands over the completions reaped by now. Handlers may start operations.
  virtual void run_handlers() = 0;

  [[nodiscard]] virtual bool has_reaped() const noexcept = 0;
  [[nodiscard]] virtual bool has_unsubmitted() const noexcept = 0;
  [[nodiscard]] virtual bool has_unreaped() const noexcept = 0;
  [[nodiscard]] virtual std::size_t in_flight() const noexcept = 0;
  // Whether the kernel has dropped completions for want of memory: some operations may never complete.
  [[nodiscard]] virtual bool lost_completions() const noexcept = 0;
  // Since the beginning: how many operations it started, with those that cancel or move others.
  [[nodiscard]] virtual std::uint64_t operations() const noexcept = 0;

  [[nodiscard]] virtual LoopEngine kind() const noexcept = 0;
  // The system call that submits and waits, for errors to name.
  [[nodiscard]] virtual const char* entry() const noexcept = 0;

 private:
  // An operation has one pointer for what it reads and what it writes.
  template <class T>
  static void* unconst(const T* data) noexcept {
    return const_cast<T*>(data);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  }
};

}  // namespace leasepool::detail
