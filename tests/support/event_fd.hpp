// EventFd: a descriptor that a test makes readable.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include "base/unique_fd.hpp"

namespace leasepool::test {

class EventFd {
 public:
  EventFd() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!fd_) throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  [[nodiscard]] int get() const noexcept { return fd_.get(); }

  // Makes it readable. Any thread.
  void signal() const {
    const std::uint64_t one = 1;
    (void)!::write(fd_.get(), &one, sizeof one);
  }
  // Makes it unreadable; gives how often it was signalled since the last time.
  std::uint64_t take() const {
    std::uint64_t count = 0;
    return ::read(fd_.get(), &count, sizeof count) == sizeof count ? count : 0;
  }

 private:
  leasepool::detail::UniqueFd fd_;
};

}  // namespace leasepool::test
