// Ring: the one place that knows io_uring. It submits operations, reaps their completions, and only then, one by one,
// hands each completion to the handler that came with its operation.
//
// An operation's slot lives from its submission to its last completion, whoever started it is gone or not. A handler
// keeps alive what the kernel may touch until then (by owning it), and holds no more than a weak or cleared pointer to
// anything that may go earlier. Slots are found by a user_data of index and generation, so a completion that comes late
// cannot reach a slot's next user.
#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "leasepool/duration.hpp"

namespace leasepool::detail {

// Names an operation in flight; 0 names none.
using OperationId = std::uint64_t;

struct Completion {
  int result = 0;     // >= 0, or -errno
  bool more = false;  // a multishot operation goes on; false: this is the last completion
};
using CompletionHandler = std::move_only_function<void(Completion)>;

// One thread: the one that constructs it.
class Ring {
 public:
  struct Limits {
    unsigned submissions = 256;
    unsigned completions = 4096;
  };

  // Throws LeasePoolError (unsupported) naming the likely causes when the system refuses io_uring.
  explicit Ring(Limits limits);
  Ring() : Ring(Limits{}) {}
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  // Nothing may be in flight, but for the wake-up timeout.
  ~Ring();

  // Each starts an operation; its handler gets every completion. Buffers and descriptors are the handler's to keep.
  OperationId recv(int fd, std::span<std::byte> into, CompletionHandler handler);
  OperationId send(int fd, std::span<const std::byte> from, CompletionHandler handler);
  // The same with descriptors beside the bytes; the message is the handler's to keep, too. Received ones are
  // close-on-exec, and come with bytes only.
  OperationId recvmsg(int fd, msghdr* message, CompletionHandler handler);
  OperationId sendmsg(int fd, const msghdr* message, CompletionHandler handler);
  OperationId poll(int fd, short events, CompletionHandler handler);
  OperationId poll_multishot(int fd, short events, CompletionHandler handler);

  // Asks for an operation to end early: its handler gets -ECANCELED, or whatever happened first.
  void cancel(OperationId id);

  // When wait() is to return at the latest; TimePoint::max(): whenever something completes.
  void set_wakeup(TimePoint deadline);

  // Submits what was prepared and reaps what has completed; wait() first blocks until something has, the wake-up passes
  // or a signal arrives. One system call, or none when there is nothing to submit and nothing to reap.
  void submit_and_reap();
  void submit_and_wait();

  // Has the kernel write to an eventfd when there is something to reap. The caller keeps it open as long as the ring.
  void notify(int event_fd);

  // Hands over the completions reaped by now. Handlers may start operations, not reap.
  void run_handlers();

  [[nodiscard]] bool has_reaped() const noexcept { return handled_ != reaped_.size(); }
  [[nodiscard]] bool has_unsubmitted() const noexcept;
  [[nodiscard]] bool has_unreaped() const noexcept;
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_; }

  // Since the beginning: how often it entered the kernel, and how many operations it prepared.
  [[nodiscard]] std::uint64_t entries() const noexcept { return entries_; }
  [[nodiscard]] std::uint64_t operations() const noexcept { return operations_; }

  [[nodiscard]] int fd() const noexcept { return ring_.ring_fd; }

 private:
  struct Slot {
    std::uint32_t generation = 1;
    bool in_flight = false;
    CompletionHandler handler;
  };
  struct Reaped {
    std::uint64_t user_data = 0;
    Completion completion;
  };

  io_uring_sqe* next_sqe();
  OperationId take_slot(CompletionHandler handler);
  void enter(bool wait);
  void reap();
  void finish(const Reaped& reaped);

  io_uring ring_{};
  std::deque<Slot> slots_;  // stable addresses: a handler runs while others are added
  std::vector<std::uint32_t> free_;
  std::size_t in_flight_ = 0;
  std::uint64_t entries_ = 0;
  std::uint64_t operations_ = 0;
  std::vector<Reaped> reaped_;  // those before handled_ have been handed over
  std::size_t handled_ = 0;
  TimePoint wakeup_ = TimePoint::max();
  bool timeout_armed_ = false;
  __kernel_timespec timeout_{};
};

}  // namespace leasepool::detail
