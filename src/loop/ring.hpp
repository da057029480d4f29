// Ring: the one place that knows io_uring. It submits operations, reaps their completions, and only then, one by one,
// hands each completion to the handler that came with its operation.
//
// An operation's slot lives from its submission to its last completion, whoever started it is gone or not. A handler
// keeps alive what the kernel may touch until then (by owning it), and holds no more than a weak or cleared pointer to
// anything that may go earlier. Slots are found by a user_data of index and generation, so a completion that comes late
// cannot reach a slot's next user.
//
// Memory is taken for an operation more than there ever were at once, and for nothing else: to cancel, to reap, and to
// start an operation where another has ended needs none. What finds the kernel's queue full waits in its slot.
#pragma once

#include <liburing.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "leasepool/error.hpp"
#include "loop/engine.hpp"
#include "loop/linked_timeout.hpp"
#include "loop/slots.hpp"

namespace leasepool::detail {

// The system refuses io_uring.
class RingRefused final : public LeasePoolError {
 public:
  RingRefused(const std::string& text, int error)
      : LeasePoolError(Errc::unsupported, text), text_(text), error_(error) {}

  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  // By a seccomp profile, a sysctl or a kernel without it, and not for want of memory or descriptors.
  [[nodiscard]] bool by_policy() const noexcept { return error_ == EPERM || error_ == EACCES || error_ == ENOSYS; }

 private:
  std::string text_;
  int error_;
};

// One thread: the one that constructs it.
class Ring final : public Engine {
 public:
  struct Limits {
    unsigned submissions = 256;
    unsigned completions = 4096;
  };

  // Throws RingRefused naming the likely causes when the system refuses io_uring, and std::bad_alloc.
  explicit Ring(Limits limits);
  Ring() : Ring(Limits{}) {}
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() override;

  // A deadline is a timeout that is linked to the operation.
  OperationId start(const Operation& operation, CompletionHandler handler, TimePoint deadline) override;
  void set_deadline(OperationId id, TimePoint deadline) noexcept override;
  void cancel(OperationId id) noexcept override;
  int cancel_and_reap(OperationId id) noexcept override;
  void set_wakeup(TimePoint deadline) noexcept override;
  // One system call, or none when there is nothing to submit and nothing to reap.
  int submit_and_reap() noexcept override;
  int submit_and_wait() noexcept override;

  // Handlers are destroyed once the kernel has ended the ring. Where that cannot be seen, within a second or at all,
  // they are leaked with all that they own, as the kernel may use their memory.
  void give_up() noexcept override;

  int notify(int event_fd) override;
  void run_handlers() override;

  [[nodiscard]] bool has_reaped() const noexcept override { return handled_ != reaped_.size(); }
  [[nodiscard]] bool has_unsubmitted() const noexcept override;
  // In user space, or in the kernel as its flags say. Its TASKRUN may stay set when all is reaped: it sets that behind
  // what it has added, and clears it when it finds something to do. So one that an entry has found nothing behind is
  // not believed until something was reaped; then only an entry sees what comes.
  [[nodiscard]] bool has_unreaped() const noexcept override;
  [[nodiscard]] std::size_t in_flight() const noexcept override {
    const auto& slots = slots_ ? slots_ : ended_;
    return slots ? slots->taken() : 0;
  }
  [[nodiscard]] bool lost_completions() const noexcept override { return lost_completions_; }

  [[nodiscard]] std::uint64_t operations() const noexcept override { return operations_; }
  [[nodiscard]] LoopEngine kind() const noexcept override { return LoopEngine::io_uring; }
  [[nodiscard]] const char* entry() const noexcept override { return "io_uring_enter"; }

  [[nodiscard]] int fd() const noexcept { return ring_.ring_fd; }

 private:
  // What is asked of an operation in flight, and waits for room in the kernel's queue.
  enum class Request : std::uint8_t { cancel = 1, start_timeout = 2, move_timeout = 4, remove_timeout = 8 };
  static constexpr Request kRequests[] = {Request::cancel, Request::start_timeout, Request::move_timeout,
                                          Request::remove_timeout};
  // Of an operation, from its start to its last completion and its timeout's.
  struct Slot {
    bool waits = false;         // for room in the kernel's queue
    bool cancelled = false;     // by cancel()
    std::uint8_t requests = 0;  // set of Request
    LinkedTimeout timeout;
    __kernel_timespec deadline{};  // read when the timeout is submitted
    CompletionHandler handler;
    alignas(io_uring_sqe) std::array<std::byte, sizeof(io_uring_sqe)> waiting{};  // while it waits, in order
    std::uint32_t next_waiting = UINT32_MAX;
  };
  using OperationSlots = Slots<Slot, std::deque>;  // stable addresses: a handler runs while others are added
  static constexpr std::uint32_t kNone = OperationSlots::kNone;
  static constexpr unsigned kPair = 2;  // entries of an operation and its timeout

  struct Reaped {
    std::uint64_t user_data = 0;
    Completion completion;
  };

  static void prepare(io_uring_sqe* sqe, const Operation& operation) noexcept;
  [[nodiscard]] bool others_wait() const noexcept { return first_waiting_ != kNone || requests_waiting_ != 0; }
  io_uring_sqe* free_sqe() noexcept;
  bool reserve(unsigned count) noexcept;
  void link_timeout(Slot& slot, OperationId id, io_uring_sqe* operation) noexcept;
  void ask(std::uint32_t index, Request request) noexcept;
  void prepare_request(std::uint32_t index, Request request, io_uring_sqe* sqe) noexcept;
  bool drop_request(Slot& slot, Request request) noexcept;
  std::uint32_t take_slot(CompletionHandler handler);
  void wait_for_room(std::uint32_t index) noexcept;
  void prepare_waiting() noexcept;
  void prepare_wakeup(io_uring_sqe* sqe) noexcept;
  [[nodiscard]] unsigned kernel_flags() const noexcept;
  int enter(bool wait) noexcept;
  void reap() noexcept;
  [[nodiscard]] std::optional<int> find_result(OperationId id) const noexcept;
  void finish(const Reaped& reaped);
  void finish_timeout(std::uint32_t index, int result) noexcept;
  void finish_operation(std::uint32_t index, int result) noexcept;
  void end(std::uint32_t index);
  void exit() noexcept;
  bool exit_and_wait() noexcept;
  void end_all(int error) noexcept;

  io_uring ring_{};
  bool exited_ = false;
  std::unique_ptr<OperationSlots> slots_ = std::make_unique<OperationSlots>();  // null once the kernel has ended all
  std::unique_ptr<OperationSlots> ended_;  // those that it has ended: their handlers may run
  int ended_by_ = 0;                       // why, an errno
  std::uint32_t first_waiting_ = kNone;
  std::uint32_t last_waiting_ = kNone;
  std::size_t requests_waiting_ = 0;
  std::uint64_t operations_ = 0;
  std::vector<Reaped> reaped_;  // those before handled_ have been handed over; never more than there is room for
  std::size_t handled_ = 0;
  TimePoint wakeup_ = TimePoint::max();         // as the kernel has it, or will
  TimePoint wanted_wakeup_ = TimePoint::max();  // differs while there is no room in the kernel's queue
  bool taskrun_is_stale_ = false;
  bool timeout_armed_ = false;
  bool lost_completions_ = false;
  __kernel_timespec timeout_{};
};

}  // namespace leasepool::detail
