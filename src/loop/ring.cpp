// The ring's operations, and one turn of submit and reap.
#include "loop/ring.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

namespace {

constexpr std::uint64_t kNobody = 0;         // completions of cancellations and updates
constexpr std::uint64_t kWakeupTimeout = 1;  // ids of slots are at least 2^32

constexpr OperationId kOfTimeout = OperationId{1} << 31;  // beside the slot's index: its timeout's completion

__kernel_timespec to_timespec(TimePoint at) noexcept {
  const auto since_boot = std::max(at.time_since_epoch(), Duration::zero());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
  return {.tv_sec = seconds.count(), .tv_nsec = (since_boot - seconds).count()};
}

void pause() noexcept {
  const timespec a_while{.tv_sec = 0, .tv_nsec = 1'000'000};
  (void)::nanosleep(&a_while, nullptr);
}

}  // namespace

// Null where the kernel's queue is full.
io_uring_sqe* Ring::free_sqe() noexcept {
  io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
  if (sqe != nullptr) ++operations_;
  return sqe;
}

// Whether so many entries are free, if need be after an entry into the kernel for more room: never between two that
// belong together. Who comes behind others that wait for room waits, too.
bool Ring::reserve(unsigned count) noexcept {
  const auto is_free = [this, count] { return !others_wait() && io_uring_sq_space_left(&ring_) >= count; };
  if (is_free()) return true;
  (void)enter(false);
  return is_free();
}

std::uint32_t Ring::take_slot(CompletionHandler handler) {
  if (!slots_)
    throw std::system_error(ended_by_, std::generic_category(), "leasepool: io_uring_enter, refused for long");
  check(handler != nullptr, "an operation has somebody who handles its completions");
  const std::uint32_t index = slots_->take();
  (*slots_)[index].handler = std::move(handler);
  return index;
}

OperationId Ring::start(const Operation& operation, CompletionHandler handler, TimePoint deadline) {
  const std::uint32_t index = take_slot(std::move(handler));
  Slot& slot = (*slots_)[index];
  const OperationId id = slots_->id_of(index);
  const bool timed = deadline != kNever;
  slot.timeout.begin(timed);
  if (timed) slot.deadline = to_timespec(deadline);
  io_uring_sqe* sqe = nullptr;
  if (reserve(timed ? kPair : 1)) {
    sqe = free_sqe();
  } else {
    wait_for_room(index);
    sqe = ::new (static_cast<void*>(slot.waiting.data())) io_uring_sqe;
  }
  prepare(sqe, operation);
  io_uring_sqe_set_data64(sqe, id);
  if (timed && !slot.waits) link_timeout(slot, id, sqe);
  return id;
}

void Ring::wait_for_room(std::uint32_t index) noexcept {
  Slot& slot = (*slots_)[index];
  check(!slot.waits, "an operation waits for room once");
  check(slot.next_waiting == kNone, "an operation that comes to wait is the last that does");
  slot.waits = true;
  (first_waiting_ == kNone ? first_waiting_ : (*slots_)[last_waiting_].next_waiting) = index;
  last_waiting_ = index;
}

// Its entry is the next one, which is free.
void Ring::link_timeout(Slot& slot, OperationId id, io_uring_sqe* operation) noexcept {
  operation->flags |= IOSQE_IO_LINK;
  io_uring_sqe* const sqe = free_sqe();
  check(sqe != nullptr, "both entries of a pair are reserved");
  io_uring_prep_link_timeout(sqe, &slot.deadline, IORING_TIMEOUT_ABS);
  io_uring_sqe_set_data64(sqe, id | kOfTimeout);
}

// What found the queue full before, as far as there is room by now.
void Ring::prepare_waiting() noexcept {
  while (first_waiting_ != kNone) {
    Slot& slot = (*slots_)[first_waiting_];
    const bool timed = slot.timeout.has_timeout();
    if (io_uring_sq_space_left(&ring_) < (timed ? kPair : 1)) return;
    io_uring_sqe* const sqe = free_sqe();
    check(std::exchange(slot.waits, false), "an operation that waits for room is submitted once");
    std::memcpy(sqe, slot.waiting.data(), sizeof *sqe);
    if (timed) link_timeout(slot, slots_->id_of(first_waiting_), sqe);
    first_waiting_ = std::exchange(slot.next_waiting, kNone);
  }
  for (std::uint32_t index = 0; requests_waiting_ != 0 && index < slots_->size(); ++index) {
    for (const Request request : kRequests) {
      if ((*slots_)[index].requests == 0) break;
      if (io_uring_sq_space_left(&ring_) == 0) return;
      if (drop_request((*slots_)[index], request)) prepare_request(index, request, free_sqe());
    }
  }
}

void Ring::ask(std::uint32_t index, Request request) noexcept {
  Slot& slot = (*slots_)[index];
  const auto bit = static_cast<std::uint8_t>(request);
  if ((slot.requests & bit) != 0) return;
  if (reserve(1)) return prepare_request(index, request, free_sqe());
  slot.requests = static_cast<std::uint8_t>(slot.requests | bit);
  ++requests_waiting_;
}

void Ring::prepare_request(std::uint32_t index, Request request, io_uring_sqe* sqe) noexcept {
  Slot& slot = (*slots_)[index];
  const OperationId id = slots_->id_of(index);
  const OperationId timeout = id | kOfTimeout;
  switch (request) {
    case Request::cancel: io_uring_prep_cancel64(sqe, id, 0); break;
    case Request::start_timeout:
      io_uring_prep_timeout(sqe, &slot.deadline, 0, IORING_TIMEOUT_ABS);
      return io_uring_sqe_set_data64(sqe, timeout);
    case Request::move_timeout: {
      const bool linked = slot.timeout.state() == LinkedTimeout::State::linked;
      io_uring_prep_timeout_update(sqe, &slot.deadline, timeout,
                                   IORING_TIMEOUT_ABS | (linked ? unsigned{IORING_LINK_TIMEOUT_UPDATE} : 0U));
      break;
    }
    case Request::remove_timeout: io_uring_prep_timeout_remove(sqe, timeout, 0); break;
  }
  io_uring_sqe_set_data64(sqe, kNobody);
}

void Ring::prepare(io_uring_sqe* sqe, const Operation& operation) noexcept {
  const int fd = operation.fd;
  const auto size = static_cast<unsigned>(std::min<std::size_t>(operation.size, INT_MAX));
  switch (operation.kind) {
    case Operation::Kind::recv: return io_uring_prep_recv(sqe, fd, operation.data, size, 0);
    case Operation::Kind::send: return io_uring_prep_send(sqe, fd, operation.data, size, MSG_NOSIGNAL);
    case Operation::Kind::recvmsg:
      return io_uring_prep_recvmsg(sqe, fd, static_cast<msghdr*>(operation.data), MSG_CMSG_CLOEXEC);
    case Operation::Kind::sendmsg:
      return io_uring_prep_sendmsg(sqe, fd, static_cast<msghdr*>(operation.data), MSG_NOSIGNAL);
    case Operation::Kind::read: return io_uring_prep_read(sqe, fd, operation.data, size, operation.offset);
    case Operation::Kind::write: return io_uring_prep_write(sqe, fd, operation.data, size, operation.offset);
    case Operation::Kind::poll: return io_uring_prep_poll_add(sqe, fd, static_cast<unsigned>(operation.flags));
    case Operation::Kind::poll_multishot:
      return io_uring_prep_poll_multishot(sqe, fd, static_cast<unsigned>(operation.flags));
    case Operation::Kind::accept: return io_uring_prep_accept(sqe, fd, nullptr, nullptr, SOCK_CLOEXEC);
    case Operation::Kind::accept_multishot:
      return io_uring_prep_multishot_accept(sqe, fd, nullptr, nullptr, SOCK_CLOEXEC);
    case Operation::Kind::connect: return io_uring_prep_connect(sqe, fd, static_cast<sockaddr*>(operation.data), size);
    case Operation::Kind::open:
      return io_uring_prep_openat(sqe, AT_FDCWD, static_cast<const char*>(operation.data), operation.flags | O_CLOEXEC,
                                  operation.mode);
    case Operation::Kind::sync: return io_uring_prep_fsync(sqe, fd, 0);
  }
}

void Ring::cancel(OperationId id) noexcept {
  const std::uint32_t index = slots_ ? slots_->find(id) : kNone;
  if (index == kNone) return;
  Slot& slot = (*slots_)[index];
  if (slot.timeout.operation_has_ended()) return;
  slot.cancelled = true;
  ask(index, Request::cancel);
}

// What is poll-armed ends within the entry that cancels it. Its completion may be behind more others than there is room
// for, and no handler makes any. Where the kernel refuses entries for long, only its end of the ring ends the use of a
// buffer.
int Ring::cancel_and_reap(OperationId id) noexcept {
  constexpr int kMaxTries = 1000;
  int error = 0;
  cancel(id);
  for (int tries = 0; slots_ && slots_->find(id) != kNone; ++tries) {
    if (const auto result = find_result(id)) return *result;
    if (tries == kMaxTries) {
      end_all(error != 0 ? error : ECANCELED);
      break;
    }
    try {
      if (reaped_.size() == reaped_.capacity()) reaped_.reserve(2 * reaped_.capacity());
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it is tried again
    }
    error = enter(false);
    if (error != 0 || tries > 1) pause();
  }
  return -ECANCELED;
}

// Of an operation whose last completion is to be handed over, or to be reaped yet.
std::optional<int> Ring::find_result(OperationId id) const noexcept {
  for (std::size_t i = handled_; i < reaped_.size(); ++i) {
    if (reaped_[i].user_data == id && !reaped_[i].completion.more) return reaped_[i].completion.result;
  }
  const io_uring_cqe* cqe = nullptr;
  unsigned head = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    if (cqe->user_data == id && (cqe->flags & IORING_CQE_F_MORE) == 0) return cqe->res;
  }
  return std::nullopt;
}

void Ring::set_deadline(OperationId id, TimePoint deadline) noexcept {
  const std::uint32_t index = slots_ ? slots_->find(id) : kNone;
  if (index == kNone) return;
  Slot& slot = (*slots_)[index];
  if (!slot.timeout.has_timeout()) return;
  slot.deadline = to_timespec(deadline);
  ask(index, Request::move_timeout);
}

void Ring::set_wakeup(TimePoint deadline) noexcept {
  wanted_wakeup_ = deadline;
  if (deadline == wakeup_ || !slots_) return;
  if (deadline == TimePoint::max() && !timeout_armed_) {
    wakeup_ = deadline;
  } else if (reserve(1)) {
    prepare_wakeup(free_sqe());
  }
}

void Ring::prepare_wakeup(io_uring_sqe* sqe) noexcept {
  wakeup_ = wanted_wakeup_;
  timeout_ = to_timespec(wakeup_);
  if (wakeup_ == TimePoint::max()) {
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

int Ring::notify(int event_fd) {
  const int result = io_uring_register_eventfd(&ring_, event_fd);
  if (result < 0) throw std::system_error(-result, std::generic_category(), "leasepool: io_uring_register_eventfd");
  return event_fd;
}

bool Ring::has_unsubmitted() const noexcept { return slots_ && (io_uring_sq_ready(&ring_) != 0 || others_wait()); }

unsigned Ring::kernel_flags() const noexcept { return IO_URING_READ_ONCE(*ring_.sq.kflags); }

bool Ring::has_unreaped() const noexcept {
  if (!slots_) return false;
  const unsigned looked_at = IORING_SQ_CQ_OVERFLOW | (taskrun_is_stale_ ? 0U : IORING_SQ_TASKRUN);
  return io_uring_cq_ready(&ring_) != 0 || (kernel_flags() & looked_at) != 0;
}

// It enters for a flag that may be stale, too: what comes next does not change it.
int Ring::submit_and_reap() noexcept {
  if (!slots_) return ended_by_;
  reap();
  const bool flagged = (kernel_flags() & IORING_SQ_TASKRUN) != 0;
  return has_unsubmitted() || has_unreaped() || flagged ? enter(false) : 0;
}

// It does not sleep over what found no room in the kernel's queue.
int Ring::submit_and_wait() noexcept {
  prepare_waiting();
  return enter(!others_wait() && wakeup_ == wanted_wakeup_);
}

int Ring::enter(bool wait) noexcept {
  if (!slots_) return ended_by_;
  if (others_wait()) prepare_waiting();
  const int result = wait ? io_uring_submit_and_wait(&ring_, 1) : io_uring_submit_and_get_events(&ring_);
  const std::size_t before = reaped_.size();
  reap();
  taskrun_is_stale_ = result >= 0 && reaped_.size() == before && (kernel_flags() & IORING_SQ_TASKRUN) != 0;
  if (result == -EBADR) lost_completions_ = true;
  // EINTR and ETIME: the caller looks around and comes back. EAGAIN and EBUSY, where something was reaped: there was no
  // room for more completions, and now there is.
  const bool went_on = result >= 0 || result == -EINTR || result == -ETIME || reaped_.size() != before;
  return went_on && result != -EBADR ? 0 : -result;
}

// As many as there is room for; the rest stays with the kernel.
void Ring::reap() noexcept {
  if (handled_ != 0 && reaped_.size() == reaped_.capacity()) {
    reaped_.erase(reaped_.begin(), reaped_.begin() + static_cast<std::ptrdiff_t>(handled_));
    handled_ = 0;
  }
  io_uring_cqe* cqe = nullptr;
  unsigned head = 0;
  unsigned count = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    if (reaped_.size() == reaped_.capacity()) break;
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
  check(handled_ <= reaped_.size(), "no more completions are handed over than were reaped");
  reaped_.erase(reaped_.begin(), reaped_.begin() + static_cast<std::ptrdiff_t>(handled_));
  handled_ = 0;
}

void Ring::finish(const Reaped& reaped) {
  if (reaped.user_data == kNobody) return;
  if (reaped.user_data == kWakeupTimeout) {  // expired or removed: the next set_wakeup() arms it anew
    check(timeout_armed_, "a wake-up that comes was armed");
    timeout_armed_ = false;
    wakeup_ = TimePoint::max();
    wanted_wakeup_ = TimePoint::max();
    return;
  }
  check(slots_ != nullptr, "a ring that was given up hands over nothing");
  const std::uint32_t index = slots_->find(reaped.user_data & ~kOfTimeout);
  check(index != kNone, "a completion belongs to an operation in flight");
  Slot& slot = (*slots_)[index];
  check(!slot.waits, "what completes was submitted");
  if ((reaped.user_data & kOfTimeout) != 0) {
    finish_timeout(index, reaped.completion.result);
  } else if (reaped.completion.more) {
    return slot.handler(reaped.completion);
  } else {
    finish_operation(index, reaped.completion.result);
  }
  if (slot.timeout.both_ended()) end(index);
}

void Ring::finish_timeout(std::uint32_t index, int result) noexcept {
  switch ((*slots_)[index].timeout.timeout_ended(result)) {
    case LinkedTimeout::Next::nothing: return;
    case LinkedTimeout::Next::start_timeout: return ask(index, Request::start_timeout);
    case LinkedTimeout::Next::cancel_operation: return ask(index, Request::cancel);
  }
}

void Ring::finish_operation(std::uint32_t index, int result) noexcept {
  Slot& slot = (*slots_)[index];
  slot.timeout.operation_ended(result);
  if (slot.timeout.state() != LinkedTimeout::State::alone) return;
  if (drop_request(slot, Request::start_timeout)) return slot.timeout.timeout_dropped();
  ask(index, Request::remove_timeout);
}

// Whether it was still waiting.
bool Ring::drop_request(Slot& slot, Request request) noexcept {
  const auto bit = static_cast<std::uint8_t>(request);
  if ((slot.requests & bit) == 0) return false;
  slot.requests = static_cast<std::uint8_t>(slot.requests & ~bit);
  check(requests_waiting_ > 0, "requests that wait for room are counted");
  --requests_waiting_;
  return true;
}

void Ring::end(std::uint32_t index) {
  Slot& slot = (*slots_)[index];
  const Completion completion{
      .result = slot.timeout.result(slot.cancelled), .more = false, .timed_out = slot.timeout.timed_out()};
  CompletionHandler handler = std::move(slot.handler);
  for (const Request request : kRequests) (void)drop_request(slot, request);
  slot.cancelled = false;
  slots_->give_back(index);
  handler(completion);
}

}  // namespace leasepool::detail
