// Operations that wait for their descriptor, and those that wait for a thread.
#include <poll.h>
#include <sys/epoll.h>

#include <cerrno>

#include "loop/epoll_engine.hpp"
#include "loop/try_operation.hpp"

namespace leasepool::detail {

namespace {

// epoll's names of events are poll's.
static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI && EPOLLERR == POLLERR &&
              EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP);
constexpr std::uint32_t kAlwaysReported = POLLERR | POLLHUP;

EpollSet::Report report_of(const Operation& operation) noexcept {
  return operation.kind == Operation::Kind::poll_multishot ? EpollSet::Report::each : EpollSet::Report::once;
}

}  // namespace

void EpollEngine::wait_for_readiness(std::uint32_t index) noexcept {
  const int fd = operation_at(index).fd;
  if (!has_room_for(fd)) return end(index, -EBADF);
  at(index).state = State::waiting;
  append(waiting_for(fd), index);
  const int error = watch_for_all(fd, report_of(operation_at(index)) == EpollSet::Report::each);
  if (error == 0) return;
  remove(waiting_for(fd), index);
  error == EPERM ? cannot_be_watched(index) : end(index, -error);
}

void EpollEngine::cannot_be_watched(std::uint32_t index) noexcept {
  const Operation& operation = operation_at(index);
  if (!is_poll(operation)) return run_on_thread(index);
  const int ready = poll_now(operation.fd, operation.flags);
  end(index, ready == 0 ? -EINVAL : ready);  // never, as a ring says, too
}

// 0 or an errno. `anew`: also what is there already is to be reported.
int EpollEngine::watch_for_all(int fd, bool anew) noexcept {
  std::uint32_t events = 0;
  auto report = EpollSet::Report::once;
  for (std::uint32_t index = waiting_for(fd).first; index != kNone; index = at(index).next) {
    events |= readiness_of(operation_at(index));
    if (report_of(operation_at(index)) == EpollSet::Report::each) report = EpollSet::Report::each;
  }
  return !anew && set_.is_watched(fd, events, report) ? 0 : set_.watch(fd, events, report);
}

void EpollEngine::came(int fd, std::uint32_t events) noexcept {
  List& waiting = waiting_for(fd);
  std::uint32_t exhausted = 0;  // who comes first gets nothing any more, so nobody does
  for (std::uint32_t index = waiting.first; index != kNone;) {
    const std::uint32_t next = at(index).next;
    const Operation& operation = operation_at(index);
    const std::uint32_t wanted = readiness_of(operation);
    const std::uint32_t told = events & (wanted | kAlwaysReported);
    const bool may_try = !takes_turns(operation) || (exhausted & wanted) == 0;
    if (told != 0 && may_try && !try_ready(index, told)) exhausted |= wanted;
    index = next;
  }
  if (waiting.first == kNone) return set_.unwatch(fd);
  const int error = watch_for_all(fd, false);
  while (error != 0 && waiting.first != kNone) {
    const std::uint32_t index = waiting.first;
    remove(waiting, index);
    end(index, -error);
  }
}

// Whether it does not wait any more, or waits for the next time.
bool EpollEngine::try_ready(std::uint32_t index, std::uint32_t events) noexcept {
  const Operation& operation = operation_at(index);
  if (operation.kind == Operation::Kind::poll_multishot) {
    report(index, static_cast<int>(events));
    return true;
  }
  const Attempt attempt = operation.kind == Operation::Kind::poll
                              ? Attempt{.next = Attempt::Next::done, .result = static_cast<int>(events)}
                              : try_operation(operation, true);
  if (attempt.next == Attempt::Next::wait) return false;
  remove(waiting_for(operation.fd), index);
  take(index, attempt);
  return true;
}

void EpollEngine::stop_waiting(std::uint32_t index) noexcept {
  const int fd = operation_at(index).fd;
  remove(waiting_for(fd), index);
  if (waiting_for(fd).first == kNone) set_.unwatch(fd);
}

void EpollEngine::run_on_thread(std::uint32_t index) noexcept {
  Slot& slot = at(index);
  slot.state = State::on_thread;
  const int error = threads_.add(slot.job);
  if (error != 0) end(index, -error);
}

void EpollEngine::take_from_threads() noexcept {
  for (BlockingThreads::Job* job = threads_.take_done(); job != nullptr;) {
    BlockingThreads::Job* const next = job->next;
    end(job->tag, job->result);
    job = next;
  }
}

}  // namespace leasepool::detail
