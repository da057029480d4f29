// SIGPIPE is blocked in this thread while it writes, and taken where the write has brought it.
#include "base/write_without_signal.hpp"

#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <ctime>

namespace leasepool::detail {

namespace {

class WithoutSigpipe {
 public:
  WithoutSigpipe() noexcept {
    sigemptyset(&only_);
    sigaddset(&only_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &only_, &before_);
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;
  ~WithoutSigpipe() {
    const int error = errno;
    if (broken_ && !was_pending_) {
      const timespec none{};
      while (sigtimedwait(&only_, nullptr, &none) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }
  void broken() noexcept { broken_ = true; }

 private:
  sigset_t only_{};
  sigset_t before_{};
  bool was_pending_ = false;
  bool broken_ = false;
};

}  // namespace

ssize_t write_without_signal(int fd, std::span<const std::byte> bytes) noexcept {
  WithoutSigpipe guard;
  // Written from. NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
  iovec whole{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  ssize_t written = ::pwritev2(fd, &whole, 1, -1, RWF_NOWAIT);
  // A pipe that polls as writable has room for so much.
  if (written < 0 && (errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS || errno == EPERM)) {
    written = ::write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), PIPE_BUF));
  }
  if (written < 0 && errno == EPIPE) guard.broken();
  return written;
}

}  // namespace leasepool::detail
