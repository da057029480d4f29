// Starting, trying and ending operations, deadlines, and an entry into the kernel.
#include "loop/epoll_engine.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "loop/try_operation.hpp"

namespace leasepool::detail {

namespace {

constexpr Duration kRetryAfter = std::chrono::milliseconds(5);
constexpr Duration kThreadsPatience = std::chrono::seconds(1);

UniqueFd make_timer() {
  UniqueFd fd = try_above_standard_streams(UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)));
  if (!fd) throw std::system_error(errno, std::generic_category(), "leasepool: timerfd_create for a loop");
  return fd;
}

// Never the zero that would stop the timer.
timespec to_timer_value(TimePoint at) noexcept {
  const auto since_boot = std::max(at.time_since_epoch(), Duration(1));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
  return {.tv_sec = seconds.count(), .tv_nsec = (since_boot - seconds).count()};
}

}  // namespace

EpollEngine::EpollEngine() : timer_fd_(make_timer()) {
  for (const int fd : {timer_fd_.get(), threads_.done_fd()}) {
    set_.reserve(static_cast<std::size_t>(fd) + 1);
    const int error = set_.watch(fd, EPOLLIN, EpollSet::Report::each);
    if (error != 0) throw std::system_error(error, std::generic_category(), "leasepool: epoll_ctl for a loop");
  }
}

EpollEngine::~EpollEngine() { check(in_flight() == 0, "no operation is in flight when its engine is destroyed"); }

void EpollEngine::give_up() noexcept {
  if (in_flight() == 0) return;
  auto slots = std::move(slots_);
  first_reaped_ = kNone;
  reaped_count_ = 0;
  queued_ = retrying_ = {};
  deadlines_ = TimerQueue();
  if (!threads_.abandon(kThreadsPatience)) (void)slots.release();  // NOLINT(bugprone-unused-return-value): leaked
}

int EpollEngine::notify(int /*event_fd*/) {
  watched_from_outside_ = true;
  return set_.fd();
}

bool EpollEngine::has_unreaped() const noexcept {
  if (!deadlines_.empty() && deadlines_.earliest() <= monotonic_now()) return true;
  return poll_now(set_.fd(), POLLIN) > 0;
}

// -- Lists.

void EpollEngine::append(List& list, std::uint32_t index) noexcept {
  Slot& slot = at(index);
  slot.previous = list.last;
  slot.next = kNone;
  (list.last == kNone ? list.first : at(list.last).next) = index;
  list.last = index;
}

void EpollEngine::remove(List& list, std::uint32_t index) noexcept {
  const Slot& slot = at(index);
  std::uint32_t& from_before = slot.previous == kNone ? list.first : at(slot.previous).next;
  std::uint32_t& from_behind = slot.next == kNone ? list.last : at(slot.next).previous;
  check(from_before == index && from_behind == index, "an operation is in the list that its state says");
  from_before = slot.next;
  from_behind = slot.previous;
}

// -- Starting.

// A number that is no descriptor's takes none: whatever is tried with it says so.
void EpollEngine::make_room_for(int fd) {
  if (fd < 0 || has_room_for(fd) || ::fcntl(fd, F_GETFD) < 0) return;
  const std::size_t size = std::max(static_cast<std::size_t>(fd) + 1, 2 * waiting_.size());
  set_.reserve(size);
  waiting_.resize(size);
}

TimerId EpollEngine::add_timer(std::uint32_t index, TimePoint deadline) {
  return deadlines_.add(deadline, [this, index] {
    at(index).timer = 0;
    at(index).timed_out = true;
    withdraw(index);
  });
}

OperationId EpollEngine::start(const Operation& operation, CompletionHandler handler, TimePoint deadline) {
  check(slots_ != nullptr, "an engine that was given up starts nothing");
  check(handler != nullptr, "an operation has somebody who handles its completions");
  make_room_for(operation.fd);
  const std::uint32_t index = slots_->take();
  Slot& slot = at(index);
  slot.timer = 0;
  if (deadline != kNever) {
    try {
      slot.timer = add_timer(index, deadline);
    } catch (...) {
      slots_->give_back(index);
      throw;
    }
  }
  slot.job = {.operation = operation, .tag = index};
  slot.handler = std::move(handler);
  slot.state = State::queued;
  slot.one_of_many.reset();
  slot.timed_out = false;
  append(queued_, index);
  ++operations_;
  return slots_->id_of(index);
}

void EpollEngine::set_deadline(OperationId id, TimePoint deadline) noexcept {
  const std::uint32_t index = slots_ ? slots_->find(id) : kNone;
  if (index == kNone || at(index).timer == 0) return;
  deadlines_.cancel(at(index).timer);
  at(index).timer = add_timer(index, deadline);  // in the place that is free now
  ++operations_;
}

// -- An entry.

int EpollEngine::enter(bool wait) noexcept {
  if (slots_ == nullptr) return EBADF;
  retry_due();
  try_queued();
  int error = 0;
  bool sleep = wait && !has_reaped();
  if (sleep || watched_from_outside_) {
    const TimePoint next = due();
    if (watched_from_outside_ || next == kNever || next > monotonic_now()) {
      error = set_timer(next);
    } else {
      sleep = false;
    }
  }
  const EpollSet::Come come = set_.take(sleep && error == 0);
  for (const epoll_event& event : come.events) {
    if (event.data.fd == timer_fd_.get()) {
      timer_set_to_ = kNever;
    } else if (event.data.fd == threads_.done_fd()) {
      take_from_threads();
    } else {
      came(event.data.fd, event.events);
    }
  }
  expire();
  if (error == 0) error = come.error;
  return has_reaped() ? 0 : error;
}

void EpollEngine::try_queued() noexcept {
  while (queued_.first != kNone) {
    const std::uint32_t index = queued_.first;
    remove(queued_, index);
    try_new(index);
  }
}

void EpollEngine::try_new(std::uint32_t index) noexcept {
  const Operation& operation = operation_at(index);
  const bool is_watched = has_room_for(operation.fd) && waiting_for(operation.fd).first != kNone;
  const bool is_told_anyway =  // of what is there already
      is_poll(operation) && (!is_watched || operation.kind == Operation::Kind::poll_multishot);
  if (is_told_anyway || is_behind_others(index)) return wait_for_readiness(index);
  take(index, try_operation(operation, false));
}

// Others want the same of the descriptor, and wait already.
bool EpollEngine::is_behind_others(std::uint32_t index) noexcept {
  const Operation& operation = operation_at(index);
  if (!takes_turns(operation) || !has_room_for(operation.fd)) return false;
  for (std::uint32_t other = waiting_for(operation.fd).first; other != kNone; other = at(other).next) {
    const Operation& elder = operation_at(other);
    if (takes_turns(elder) && readiness_of(elder) == readiness_of(operation)) return true;
  }
  return false;
}

// What is in no list goes where the attempt has it go.
void EpollEngine::take(std::uint32_t index, const Attempt& attempt) noexcept {
  switch (attempt.next) {
    case Attempt::Next::done:
      if (operation_at(index).kind != Operation::Kind::accept_multishot || attempt.result < 0) {
        return end(index, attempt.result);
      }
      at(index).state = State::paused;
      return report(index, attempt.result);
    case Attempt::Next::wait: return wait_for_readiness(index);
    case Attempt::Next::retry:
      if (retrying_.first == kNone) retry_at_ = monotonic_now() + kRetryAfter;
      at(index).state = State::retrying;
      return append(retrying_, index);
    case Attempt::Next::block: return run_on_thread(index);
  }
}

void EpollEngine::retry_due() noexcept {
  if (retrying_.first == kNone || monotonic_now() < retry_at_) return;
  retry_at_ = kNever;
  while (retrying_.first != kNone) {
    const std::uint32_t index = retrying_.first;
    remove(retrying_, index);
    at(index).state = State::queued;
    append(queued_, index);
  }
}

// -- Deadlines and cancelling.

TimePoint EpollEngine::due() const noexcept { return std::min({wakeup_, deadlines_.earliest(), retry_at_}); }

// One that is set to an earlier time stays so: to be woken once for nothing costs less than to set it each time.
int EpollEngine::set_timer(TimePoint when) noexcept {
  if (when >= timer_set_to_) return 0;
  const itimerspec once{.it_interval = {}, .it_value = to_timer_value(when)};
  if (::timerfd_settime(timer_fd_.get(), TFD_TIMER_ABSTIME, &once, nullptr) != 0) return errno;
  timer_set_to_ = when;
  return 0;
}

void EpollEngine::expire() noexcept {
  if (wakeup_ == kNever && deadlines_.empty()) return;
  const TimePoint now = monotonic_now();
  if (wakeup_ <= now) {
    wakeup_ = kNever;
    wakeup_came_ = true;
  }
  while (auto expired = deadlines_.take_due(now, deadlines_.mark())) expired();
}

// Ends it, if nobody works on it.
void EpollEngine::withdraw(std::uint32_t index) noexcept {
  switch (at(index).state) {
    case State::queued: remove(queued_, index); break;
    case State::retrying:
      remove(retrying_, index);
      if (retrying_.first == kNone) retry_at_ = kNever;
      break;
    case State::waiting: stop_waiting(index); break;
    case State::paused: break;
    case State::on_thread:
      if (!threads_.withdraw(at(index).job)) return;
      break;
    case State::ended: return;
  }
  end(index, -ECANCELED);
}

void EpollEngine::cancel(OperationId id) noexcept {
  const std::uint32_t index = slots_ ? slots_->find(id) : kNone;
  if (index == kNone || at(index).state == State::ended) return;
  ++operations_;
  withdraw(index);
}

int EpollEngine::cancel_and_reap(OperationId id) noexcept {
  cancel(id);
  const std::uint32_t index = slots_ ? slots_->find(id) : kNone;
  if (index == kNone) return -ECANCELED;
  if (at(index).state == State::on_thread) {
    threads_.wait_for(at(index).job);
    take_from_threads();
  }
  return at(index).result;
}

// -- Completions.

void EpollEngine::report(std::uint32_t index, int result) noexcept {
  at(index).one_of_many = at(index).one_of_many.value_or(0) | result;  // events that come in one turn are one
  add_reaped(index);
}

void EpollEngine::end(std::uint32_t index, int result) noexcept {
  Slot& slot = at(index);
  check(slot.state != State::ended, "an operation ends once");
  slot.state = State::ended;
  slot.result = result;
  if (slot.timer != 0) deadlines_.cancel(std::exchange(slot.timer, 0));
  add_reaped(index);
}

void EpollEngine::add_reaped(std::uint32_t index) noexcept {
  Slot& slot = at(index);
  if (std::exchange(slot.reaped, true)) return;
  slot.next_reaped = kNone;
  (first_reaped_ == kNone ? first_reaped_ : at(last_reaped_).next_reaped) = index;
  last_reaped_ = index;
  ++reaped_count_;
}

void EpollEngine::run_handlers() {
  wakeup_came_ = false;
  for (std::size_t left = reaped_count_; left > 0 && first_reaped_ != kNone; --left) {
    const std::uint32_t index = first_reaped_;
    first_reaped_ = at(index).next_reaped;
    --reaped_count_;
    hand_over(index);
  }
}

void EpollEngine::hand_over(std::uint32_t index) {
  Slot& slot = at(index);
  slot.reaped = false;
  if (slot.one_of_many) {
    const int result = *std::exchange(slot.one_of_many, std::nullopt);
    if (slot.state == State::ended) add_reaped(index);
    if (slot.state == State::paused) {
      slot.state = State::queued;
      append(queued_, index);
    }
    return slot.handler({.result = result, .more = true});
  }
  check(slot.state == State::ended, "what is handed over has ended, or goes on");
  CompletionHandler handler = std::move(slot.handler);
  const Completion completion{.result = slot.result, .more = false, .timed_out = slot.timed_out};
  slots_->give_back(index);
  handler(completion);
}

}  // namespace leasepool::detail
