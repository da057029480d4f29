// The system calls, and what their errors mean.
#include "loop/epoll_set.hpp"

#include <cerrno>
#include <system_error>

#include "base/check.hpp"
#include "base/process_identity.hpp"

namespace leasepool::detail {

EpollSet::EpollSet()
    : process_(process_generation()), epoll_(try_above_standard_streams(UniqueFd(::epoll_create1(EPOLL_CLOEXEC)))) {
  if (!epoll_) throw std::system_error(errno, std::generic_category(), "leasepool: epoll_create1 for a loop");
}

void EpollSet::reserve(std::size_t count) {
  if (count > watches_.size()) watches_.resize(count);
}

bool EpollSet::is_watched(int fd, std::uint32_t events, Report report) const noexcept {
  const Watch& watch = watches_[static_cast<std::size_t>(fd)];
  return watch.armed && (events & ~watch.events) == 0 && (watch.report == report || watch.report == Report::each);
}

int EpollSet::watch(int fd, std::uint32_t events, Report report) noexcept {
  check(process_ == process_generation(), "a loop's epoll set is used by the process that made it");
  Watch& watch = watches_[static_cast<std::size_t>(fd)];
  const std::uint32_t how = report == Report::each ? std::uint32_t{EPOLLET} : std::uint32_t{EPOLLONESHOT};
  epoll_event event{.events = events | how, .data = {.fd = fd}};
  const auto control = [&](int operation) { return ::epoll_ctl(epoll_.get(), operation, fd, &event) == 0 ? 0 : errno; };
  int error = control(watch.known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD);
  // The number is another file's by now, or it is that file's again.
  if (error == ENOENT) error = control(EPOLL_CTL_ADD);
  if (error == EEXIST) error = control(EPOLL_CTL_MOD);
  const bool watched = error == 0;
  watch = {.events = events, .report = report, .armed = watched, .known = watched};
  return error;
}

void EpollSet::unwatch(int fd) noexcept {
  check(process_ == process_generation(), "a loop's epoll set is used by the process that made it");
  Watch& watch = watches_[static_cast<std::size_t>(fd)];
  if (!watch.armed) return;
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watch = {};
}

EpollSet::Come EpollSet::take(bool wait) noexcept {
  check(process_ == process_generation(), "a loop's epoll set is used by the process that made it");
  const int count = ::epoll_wait(epoll_.get(), come_.data(), static_cast<int>(come_.size()), wait ? -1 : 0);
  if (count < 0) return {.error = errno == EINTR ? 0 : errno, .events = {}};
  const std::span<const epoll_event> events(come_.data(), static_cast<std::size_t>(count));
  for (const epoll_event& event : events) {
    Watch& watch = watches_[static_cast<std::size_t>(event.data.fd)];
    if (watch.report == Report::once) watch.armed = false;
  }
  return {.error = 0, .events = events};
}

}  // namespace leasepool::detail
