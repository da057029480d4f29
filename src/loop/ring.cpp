// The ring's set-up, its operations, and one turn of submit and reap.
#include "loop/ring.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

namespace {

constexpr std::uint64_t kNobody = 0;         // completions of cancellations and updates
constexpr std::uint64_t kWakeupTimeout = 1;  // ids of slots are at least 2^32

constexpr OperationId operation_id(std::uint32_t slot, std::uint32_t generation) noexcept {
  return (OperationId{generation} << 32) | slot;
}

__kernel_timespec to_timespec(TimePoint at) noexcept {
  const auto since_boot = std::max(at.time_since_epoch(), Duration::zero());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
  return {.tv_sec = seconds.count(), .tv_nsec = (since_boot - seconds).count()};
}

[[noreturn]] void throw_refused(int error) {
  const std::string reason = std::strerror(error);
  switch (error) {
    case EPERM:
    case EACCES:
      throw LeasePoolError(Errc::unsupported,
                           "io_uring is refused (" + reason +
                               "): either a seccomp profile forbids it, as container runtimes' default ones do (allow "
                               "io_uring_setup, io_uring_enter and io_uring_register in the profile), or the sysctl "
                               "kernel.io_uring_disabled is set (set it to 0, or to 1 with the process in "
                               "kernel.io_uring_group)");
    case ENOSYS:
      throw LeasePoolError(Errc::unsupported,
                           "io_uring is missing (" + reason +
                               "): the kernel is older than 5.15, or was built without it, or a sandbox such as gVisor "
                               "does not offer it; leasepool needs Linux 5.15 or newer");
    case ENOMEM:
      throw LeasePoolError(Errc::unsupported,
                           "io_uring got no memory (" + reason + "): raise the limit of locked memory (ulimit -l)");
    case EMFILE:
    case ENFILE:
      throw LeasePoolError(Errc::unsupported,
                           "io_uring got no descriptor (" + reason + "): raise the limit of open files (ulimit -n)");
    default: throw LeasePoolError(Errc::unsupported, "io_uring cannot be set up: " + reason);
  }
}

}  // namespace

Ring::Ring(Limits limits) {
  // Each rung is peeled off when the kernel does not know it.
  constexpr unsigned kLadder[] = {
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      0,
  };
  int error = EINVAL;
  for (const unsigned rung : kLadder) {
    for (const unsigned always : {unsigned{IORING_SETUP_SUBMIT_ALL}, 0U}) {  // SUBMIT_ALL came with 5.18
      io_uring_params params{};
      params.flags = rung | always | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
      params.cq_entries = limits.completions;
      error = -io_uring_queue_init_params(limits.submissions, &ring_, &params);
      if (error != EINVAL) break;
    }
    if (error != EINVAL) break;
  }
  if (error != 0) throw_refused(error);
  io_uring_ring_dontfork(&ring_);
}

Ring::~Ring() {
  check(in_flight_ == 0, "no operation is in flight when its ring is destroyed");
  io_uring_queue_exit(&ring_);
}

io_uring_sqe* Ring::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {  // the queue is full: what is in it goes to the kernel first
    enter(false);
    sqe = io_uring_get_sqe(&ring_);
  }
  ++operations_;
  return sqe;
}

OperationId Ring::take_slot(CompletionHandler handler) {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.in_flight = true;
  slot.handler = std::move(handler);
  ++in_flight_;
  return operation_id(index, slot.generation);
}

OperationId Ring::recv(int fd, std::span<std::byte> into, CompletionHandler handler) {
  io_uring_sqe* const sqe = next_sqe();
  io_uring_prep_recv(sqe, fd, into.data(), into.size(), 0);
  const OperationId id = take_slot(std::move(handler));
  io_uring_sqe_set_data64(sqe, id);
  return id;
}

OperationId Ring::send(int fd, std::span<const std::byte> from, CompletionHandler handler) {
  io_uring_sqe* const sqe = next_sqe();
  io_uring_prep_send(sqe, fd, from.data(), from.size(), MSG_NOSIGNAL);
  const OperationId id = take_slot(std::move(handler));
  io_uring_sqe_set_data64(sqe, id);
  return id;
}

OperationId Ring::recvmsg(int fd, msghdr* message, CompletionHandler handler) {
  io_uring_sqe* const sqe = next_sqe();
  io_uring_prep_recvmsg(sqe, fd, message, MSG_CMSG_CLOEXEC);
  const OperationId id = take_slot(std::move(handler));
  io_uring_sqe_set_data64(sqe, id);
  return id;
}

OperationId Ring::sendmsg(int fd, const msghdr* message, CompletionHandler handler) {
  io_uring_sqe* const sqe = next_sqe();
  io_uring_prep_sendmsg(sqe, fd, message, MSG_NOSIGNAL);
  const OperationId id = take_slot(std::move(handler));
  io_uring_sqe_set_data64(sqe, id);
  return id;
}

OperationId Ring::poll(int fd, short events, CompletionHandler handler) {
  io_uring_sqe* const sqe = next_sqe();
  io_uring_prep_poll_add(sqe, fd, static_cast<unsigned short>(events));
  const OperationId id = take_slot(std::move(handler));
  io_uring_sqe_set_data64(sqe, id);
  return id;
}

OperationId Ring::poll_multishot(int fd, short events, CompletionHandler handler) {
  io_uring_sqe* const sqe = next_sqe();
  io_uring_prep_poll_multishot(sqe, fd, static_cast<unsigned short>(events));
  const OperationId id = take_slot(std::move(handler));
  io_uring_sqe_set_data64(sqe, id);
  return id;
}

void Ring::cancel(OperationId id) {
  if (id == 0) return;
  io_uring_sqe* const sqe = next_sqe();
  io_uring_prep_cancel64(sqe, id, 0);
  io_uring_sqe_set_data64(sqe, kNobody);
}

void Ring::set_wakeup(TimePoint deadline) {
  if (deadline == wakeup_) return;
  if (deadline == TimePoint::max() && !timeout_armed_) {
    wakeup_ = deadline;
    return;
  }
  io_uring_sqe* const sqe = next_sqe();
  wakeup_ = deadline;
  timeout_ = to_timespec(deadline);
  if (deadline == TimePoint::max()) {
    io_uring_prep_timeout_remove(sqe, kWakeupTimeout, 0);
    io_uring_sqe_set_data64(sqe, kNobody);
  } else if (timeout_armed_) {
    // Should it expire at this very moment, the update fails and its own completion has it armed anew.
    io_uring_prep_timeout_update(sqe, &timeout_, kWakeupTimeout, IORING_TIMEOUT_ABS);
    io_uring_sqe_set_data64(sqe, kNobody);
  } else {
    io_uring_prep_timeout(sqe, &timeout_, 0, IORING_TIMEOUT_ABS);
    io_uring_sqe_set_data64(sqe, kWakeupTimeout);
    timeout_armed_ = true;
  }
}

void Ring::notify(int event_fd) {
  const int result = io_uring_register_eventfd(&ring_, event_fd);
  if (result < 0) throw std::system_error(-result, std::generic_category(), "leasepool: io_uring_register_eventfd");
}

bool Ring::has_unsubmitted() const noexcept { return io_uring_sq_ready(&ring_) != 0; }

bool Ring::has_unreaped() const noexcept {
  constexpr unsigned kMoreInTheKernel = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
  return io_uring_cq_ready(&ring_) != 0 || (IO_URING_READ_ONCE(*ring_.sq.kflags) & kMoreInTheKernel) != 0;
}

void Ring::submit_and_reap() {
  reap();
  if (has_unsubmitted() || has_unreaped()) enter(false);
}

void Ring::submit_and_wait() { enter(true); }

void Ring::enter(bool wait) {
  ++entries_;
  const int result = wait ? io_uring_submit_and_wait(&ring_, 1) : io_uring_submit_and_get_events(&ring_);
  reap();
  // EAGAIN and EBUSY: the kernel has no room until completions are reaped; what was not taken stays queued and goes
  // with the next call. EINTR: the caller looks around and comes back.
  check(result >= 0 || result == -EAGAIN || result == -EBUSY || result == -EINTR || result == -ETIME,
        "io_uring_enter fails only for reasons that pass");
}

void Ring::reap() {
  io_uring_cqe* cqe = nullptr;
  unsigned head = 0;
  unsigned count = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    reaped_.push_back({cqe->user_data, {.result = cqe->res, .more = (cqe->flags & IORING_CQE_F_MORE) != 0}});
    ++count;
  }
  io_uring_cq_advance(&ring_, count);
}

void Ring::run_handlers() {
  for (std::size_t left = reaped_.size() - handled_; left > 0 && has_reaped(); --left) {
    const Reaped next = reaped_[handled_++];
    finish(next);  // may reap more
  }
  reaped_.erase(reaped_.begin(), reaped_.begin() + static_cast<std::ptrdiff_t>(handled_));
  handled_ = 0;
}

void Ring::finish(const Reaped& reaped) {
  if (reaped.user_data == kNobody) return;
  if (reaped.user_data == kWakeupTimeout) {  // expired or removed: the next set_wakeup() arms it anew
    timeout_armed_ = false;
    wakeup_ = TimePoint::max();
    return;
  }
  const auto index = static_cast<std::uint32_t>(reaped.user_data);
  check(index < slots_.size(), "a completion names a slot that exists");
  Slot& slot = slots_[index];
  check(slot.in_flight && operation_id(index, slot.generation) == reaped.user_data,
        "a completion belongs to an operation in flight");
  if (reaped.completion.more) {
    slot.handler(reaped.completion);
    return;
  }
  CompletionHandler handler = std::move(slot.handler);
  slot.in_flight = false;
  if (++slot.generation == 0) slot.generation = 1;
  free_.push_back(index);
  --in_flight_;
  handler(reaped.completion);
}

}  // namespace leasepool::detail
