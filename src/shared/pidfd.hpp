// The system calls around pidfds, for which the C library of Debian 12 has no complete set.
#pragma once

#include <poll.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

// Empty, and errno says why, where it is refused.
inline UniqueFd open_pidfd(pid_t process) noexcept {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
}

// 0 or an errno; ESRCH: it is dead and has been reaped.
inline int send_signal(int pidfd, int signal) noexcept {
  return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0 ? 0 : errno;
}

// Asks for no right to send it signals. A process that has not been reaped yet is dead, too.
inline bool is_dead(int pidfd) noexcept {
  pollfd end{.fd = pidfd, .events = POLLIN, .revents = 0};
  const timespec at_once{};
  return ::ppoll(&end, 1, &at_once, nullptr) == 1;
}

// As waitpid() has it, of a process that has ended.
inline int wait_status_of(const siginfo_t& end) noexcept {
  return end.si_code == CLD_EXITED ? W_EXITCODE(end.si_status, 0) : W_EXITCODE(0, end.si_status);
}

}  // namespace leasepool::detail
