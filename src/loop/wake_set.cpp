// An epoll set of the doorbell, an eventfd, and what the engine has watched.
#include "loop/wake_set.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace leasepool::detail {

namespace {

UniqueFd checked(int opened, const char* what) {
  UniqueFd fd = try_above_standard_streams(UniqueFd(opened));
  if (!fd) throw std::system_error(errno, std::generic_category(), what);
  return fd;
}

}  // namespace

WakeSet::WakeSet(Engine& engine, int doorbell_fd)
    : completions_(checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "leasepool: eventfd for poll_fd()")),
      epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "leasepool: epoll_create1 for poll_fd()")) {
  watch(doorbell_fd);
  watch(completions_.get());
  const int engines = engine.notify(completions_.get());
  if (engines != completions_.get()) watch(engines);
}

void WakeSet::watch(int fd) {
  epoll_event watched{.events = EPOLLIN | EPOLLET, .data = {.fd = fd}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &watched) != 0) {
    throw std::system_error(errno, std::generic_category(), "leasepool: epoll_ctl for poll_fd()");
  }
}

void WakeSet::signal() noexcept {
  const std::uint64_t one = 1;
  while (::write(completions_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void WakeSet::clear() noexcept {
  epoll_event come[3];
  while (::epoll_wait(epoll_.get(), come, 3, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace leasepool::detail
