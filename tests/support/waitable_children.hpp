// WaitableChildren: a test whose children are to leave a status, in a program that may have been started with SIGCHLD
// ignored, where they leave none.
#pragma once

#include <csignal>

namespace leasepool::test {

// While one lives, SIGCHLD is not ignored. Made before fork(), by one thread at a time.
class WaitableChildren {
 public:
  WaitableChildren() noexcept {
    if (count()++ != 0) return;
    struct sigaction now{};
    ::sigaction(SIGCHLD, nullptr, &now);
    was_ignored() = now.sa_handler == SIG_IGN;
    if (was_ignored()) (void)std::signal(SIGCHLD, SIG_DFL);
  }
  WaitableChildren(const WaitableChildren&) = delete;
  WaitableChildren& operator=(const WaitableChildren&) = delete;
  ~WaitableChildren() {
    if (--count() == 0) put_back();
  }

  // As it was: in the child, which is to be as the program is.
  static void put_back() noexcept {
    if (was_ignored()) (void)std::signal(SIGCHLD, SIG_IGN);
  }

 private:
  static int& count() noexcept {
    static int alive = 0;
    return alive;
  }
  static bool& was_ignored() noexcept {
    static bool ignored = false;
    return ignored;
  }
};

}  // namespace leasepool::test
