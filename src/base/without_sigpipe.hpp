// Writing to a pipe whose other end may be gone, without the signal that comes with that.
#pragma once

#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace leasepool::detail {

// Keeps the signal of a broken pipe from the program while it lives, in this thread, without a change to what the
// program does with that signal.
class WithoutSigpipe {
 public:
  WithoutSigpipe() noexcept {
    sigset_t pending;
    sigemptyset(&pending);
    (void)::sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;
  ~WithoutSigpipe() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  // Of a call that failed with EPIPE; errno stays as it is.
  void take() const noexcept {
    constexpr timespec kNow{.tv_sec = 0, .tv_nsec = 0};
    const int error = errno;
    while (!was_pending_ && ::sigtimedwait(&sigpipe_, nullptr, &kNow) < 0 && errno == EINTR) {
    }
    errno = error;
  }

 private:
  bool was_pending_ = false;
  sigset_t sigpipe_{};
  sigset_t before_{};
};

}  // namespace leasepool::detail
