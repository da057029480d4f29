// The ring's set-up, its operations, and one turn of submit and reap.
#include "loop/ring.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "base/unique_fd.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

namespace {

constexpr std::uint64_t kNobody = 0;         // completions of cancellations and updates
constexpr std::uint64_t kWakeupTimeout = 1;  // ids of slots are at least 2^32

constexpr OperationId operation_id(std::uint32_t slot, std::uint32_t generation) noexcept {
  return (OperationId{generation} << 32) | slot;
}

void prepare_cancel(io_uring_sqe* sqe, OperationId id) noexcept {
  io_uring_prep_cancel64(sqe, id, 0);
  io_uring_sqe_set_data64(sqe, kNobody);
}

__kernel_timespec to_timespec(TimePoint at) noexcept {
  const auto since_boot = std::max(at.time_since_epoch(), Duration::zero());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
  return {.tv_sec = seconds.count(), .tv_nsec = (since_boot - seconds).count()};
}

[[noreturn]] void throw_refused(const char* call, int error) {
  const std::string reason = std::string(call) + ": " + std::strerror(error);
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
  unsigned completions = 0;
  for (const unsigned rung : kLadder) {
    for (const unsigned always : {unsigned{IORING_SETUP_SUBMIT_ALL}, 0U}) {  // SUBMIT_ALL came with 5.18
      io_uring_params params{};
      params.flags = rung | always | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
      params.cq_entries = limits.completions;
      error = -io_uring_queue_init_params(limits.submissions, &ring_, &params);
      completions = params.cq_entries;
      if (error != EINVAL) break;
    }
    if (error != EINVAL) break;
  }
  if (error != 0) throw_refused("io_uring_setup", error);
  struct Guard {
    io_uring* ring;
    ~Guard() {
      if (ring != nullptr) io_uring_queue_exit(ring);
    }
  } guard{&ring_};
  // A profile may allow the set-up and refuse what follows: better told here than in the middle of the work.
  error = -io_uring_submit_and_get_events(&ring_);
  if (error > 0 && !passes(error)) throw_refused("io_uring_enter", error);
  error = io_uring_ring_dontfork(&ring_);
  if (error != 0) throw_refused("madvise(MADV_DONTFORK)", -error);
  reaped_.reserve(2 * std::size_t{completions});
  guard.ring = nullptr;
}

Ring::~Ring() {
  check(in_flight_ == 0, "no operation is in flight when its ring is destroyed");
  exit();
}

void Ring::exit() noexcept {
  if (!std::exchange(exited_, true)) io_uring_queue_exit(&ring_);
}

void Ring::give_up() noexcept {
  if (std::exchange(in_flight_, 0) == 0) return;
  auto slots = std::move(slots_);
  if (!exit_and_wait()) (void)slots.release();  // NOLINT(bugprone-unused-return-value): leaked
}

// The last that the kernel lets go of are a ring's registered files: when the other end of such a pipe hears of it, no
// operation uses memory any more. False if it was not heard of.
bool Ring::exit_and_wait() noexcept {
  constexpr int kMaxTries = 100;
  constexpr int kMillisecondsPerTry = 10;
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  const UniqueFd heard_at(ends[0]);
  UniqueFd registered(ends[1]);
  if (io_uring_register_files(&ring_, &ends[1], 1) != 0) return false;
  registered.reset();
  exit();
  for (int tries = 0; tries < kMaxTries; ++tries) {
    pollfd heard{.fd = heard_at.get(), .events = 0, .revents = 0};
    if (::poll(&heard, 1, kMillisecondsPerTry) > 0) return (heard.revents & POLLHUP) != 0;
  }
  return false;
}

// Not EBADR: completions were dropped, and whoever waits for them waits for ever.
bool Ring::passes(int error) noexcept {
  return error == EAGAIN || error == EBUSY || error == EINTR || error == ETIME || error == ENOMEM;
}

// Null where the kernel's queue is full.
io_uring_sqe* Ring::free_sqe() noexcept {
  io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
  if (sqe != nullptr) ++operations_;
  return sqe;
}

// The same, after an entry into the kernel for more room; and where others wait for room, as these come first.
io_uring_sqe* Ring::next_sqe() noexcept {
  const auto others_wait = [this] { return first_waiting_ != kNone || cancels_waiting_ != 0; };
  io_uring_sqe* const sqe = others_wait() ? nullptr : free_sqe();
  if (sqe != nullptr) return sqe;
  (void)enter(false);
  return others_wait() ? nullptr : free_sqe();
}

std::uint32_t Ring::take_slot(CompletionHandler handler) {
  if (free_.empty()) {
    if (free_.capacity() == slots_->size()) free_.reserve(2 * slots_->size() + 16);
    slots_->emplace_back();
    free_.push_back(static_cast<std::uint32_t>(slots_->size() - 1));
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = (*slots_)[index];
  slot.in_flight = true;
  slot.handler = std::move(handler);
  ++in_flight_;
  return index;
}

template <class Prepare>
OperationId Ring::start(CompletionHandler handler, const Prepare& prepare) {
  const std::uint32_t index = take_slot(std::move(handler));
  Slot& slot = (*slots_)[index];
  const OperationId id = operation_id(index, slot.generation);
  io_uring_sqe* sqe = next_sqe();
  if (sqe == nullptr) {
    (first_waiting_ == kNone ? first_waiting_ : (*slots_)[last_waiting_].next_waiting) = index;
    last_waiting_ = index;
    sqe = ::new (static_cast<void*>(slot.waiting.data())) io_uring_sqe;
  }
  prepare(sqe);
  io_uring_sqe_set_data64(sqe, id);
  return id;
}

// What found the queue full before, as far as there is room by now.
void Ring::prepare_waiting() noexcept {
  while (first_waiting_ != kNone) {
    io_uring_sqe* const sqe = free_sqe();
    if (sqe == nullptr) return;
    Slot& slot = (*slots_)[first_waiting_];
    std::memcpy(sqe, slot.waiting.data(), sizeof *sqe);
    first_waiting_ = std::exchange(slot.next_waiting, kNone);
  }
  for (std::uint32_t index = 0; cancels_waiting_ != 0 && index < slots_->size(); ++index) {
    Slot& slot = (*slots_)[index];
    if (!slot.cancel_waits) continue;
    io_uring_sqe* const sqe = free_sqe();
    if (sqe == nullptr) return;
    prepare_cancel(sqe, operation_id(index, slot.generation));
    slot.cancel_waits = false;
    --cancels_waiting_;
  }
}

OperationId Ring::recv(int fd, std::span<std::byte> into, CompletionHandler handler) {
  return start(std::move(handler),
               [&](io_uring_sqe* sqe) { io_uring_prep_recv(sqe, fd, into.data(), into.size(), 0); });
}

OperationId Ring::send(int fd, std::span<const std::byte> from, CompletionHandler handler) {
  return start(std::move(handler),
               [&](io_uring_sqe* sqe) { io_uring_prep_send(sqe, fd, from.data(), from.size(), MSG_NOSIGNAL); });
}

OperationId Ring::recvmsg(int fd, msghdr* message, CompletionHandler handler) {
  return start(std::move(handler),
               [&](io_uring_sqe* sqe) { io_uring_prep_recvmsg(sqe, fd, message, MSG_CMSG_CLOEXEC); });
}

OperationId Ring::sendmsg(int fd, const msghdr* message, CompletionHandler handler) {
  return start(std::move(handler), [&](io_uring_sqe* sqe) { io_uring_prep_sendmsg(sqe, fd, message, MSG_NOSIGNAL); });
}

OperationId Ring::poll(int fd, short events, CompletionHandler handler) {
  return start(std::move(handler),
               [&](io_uring_sqe* sqe) { io_uring_prep_poll_add(sqe, fd, static_cast<unsigned short>(events)); });
}

OperationId Ring::poll_multishot(int fd, short events, CompletionHandler handler) {
  return start(std::move(handler),
               [&](io_uring_sqe* sqe) { io_uring_prep_poll_multishot(sqe, fd, static_cast<unsigned short>(events)); });
}

void Ring::cancel(OperationId id) noexcept {
  const auto index = static_cast<std::uint32_t>(id);
  if (id == 0 || !slots_ || index >= slots_->size()) return;
  Slot& slot = (*slots_)[index];
  if (!slot.in_flight || operation_id(index, slot.generation) != id || slot.cancel_waits) return;
  if (io_uring_sqe* const sqe = next_sqe()) return prepare_cancel(sqe, id);
  slot.cancel_waits = true;
  ++cancels_waiting_;
}

void Ring::set_wakeup(TimePoint deadline) noexcept {
  wanted_wakeup_ = deadline;
  if (deadline == wakeup_) return;
  if (deadline == TimePoint::max() && !timeout_armed_) {
    wakeup_ = deadline;
  } else if (io_uring_sqe* const sqe = next_sqe()) {
    prepare_wakeup(sqe);
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

void Ring::notify(int event_fd) {
  const int result = io_uring_register_eventfd(&ring_, event_fd);
  if (result < 0) throw std::system_error(-result, std::generic_category(), "leasepool: io_uring_register_eventfd");
}

bool Ring::has_unsubmitted() const noexcept {
  return io_uring_sq_ready(&ring_) != 0 || first_waiting_ != kNone || cancels_waiting_ != 0;
}

unsigned Ring::kernel_flags() const noexcept { return IO_URING_READ_ONCE(*ring_.sq.kflags); }

bool Ring::has_unreaped() const noexcept {
  const unsigned looked_at = IORING_SQ_CQ_OVERFLOW | (taskrun_is_stale_ ? 0U : IORING_SQ_TASKRUN);
  return io_uring_cq_ready(&ring_) != 0 || (kernel_flags() & looked_at) != 0;
}

// It enters for a flag that may be stale, too: what comes next does not change it.
int Ring::submit_and_reap() noexcept {
  reap();
  const bool flagged = (kernel_flags() & IORING_SQ_TASKRUN) != 0;
  return has_unsubmitted() || has_unreaped() || flagged ? enter(false) : 0;
}

// It does not sleep over what found no room in the kernel's queue.
int Ring::submit_and_wait() noexcept {
  prepare_waiting();
  return enter(first_waiting_ == kNone && cancels_waiting_ == 0 && wakeup_ == wanted_wakeup_);
}

int Ring::enter(bool wait) noexcept {
  if (first_waiting_ != kNone || cancels_waiting_ != 0) prepare_waiting();
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
  reaped_.erase(reaped_.begin(), reaped_.begin() + static_cast<std::ptrdiff_t>(handled_));
  handled_ = 0;
}

void Ring::finish(const Reaped& reaped) {
  if (reaped.user_data == kNobody) return;
  if (reaped.user_data == kWakeupTimeout) {  // expired or removed: the next set_wakeup() arms it anew
    timeout_armed_ = false;
    wakeup_ = TimePoint::max();
    wanted_wakeup_ = TimePoint::max();
    return;
  }
  const auto index = static_cast<std::uint32_t>(reaped.user_data);
  check(index < slots_->size(), "a completion names a slot that exists");
  Slot& slot = (*slots_)[index];
  check(slot.in_flight && operation_id(index, slot.generation) == reaped.user_data,
        "a completion belongs to an operation in flight");
  if (reaped.completion.more) {
    slot.handler(reaped.completion);
    return;
  }
  CompletionHandler handler = std::move(slot.handler);
  slot.in_flight = false;
  if (std::exchange(slot.cancel_waits, false)) --cancels_waiting_;
  if (++slot.generation == 0) slot.generation = 1;
  free_.push_back(index);
  --in_flight_;
  handler(reaped.completion);
}

}  // namespace leasepool::detail
