// A lack of descriptors or of threads, as long as an object lives.
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>

// New descriptors get numbers below a limit only: so many are left.
class WantOfDescriptors {
 public:
  explicit WantOfDescriptors(int left) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit little = before_;
    little.rlim_cur = left == 0 ? 0 : static_cast<rlim_t>(number_of_free(left)) + 1;
    if (::setrlimit(RLIMIT_NOFILE, &little) != 0) std::abort();
  }
  WantOfDescriptors(const WantOfDescriptors&) = delete;
  WantOfDescriptors& operator=(const WantOfDescriptors&) = delete;
  ~WantOfDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  // The number of the last of so many descriptors that would be opened next.
  static int number_of_free(int count) {
    int number = 0;
    for (; count > 0; ++number) count -= ::fcntl(number, F_GETFD) < 0 ? 1 : 0;
    return number - 1;
  }
  rlimit before_{};
};

// New threads ask for a stack that no address space has room for.
class WantOfThreads {
 public:
  WantOfThreads() {
    pthread_getattr_default_np(&before_);
    pthread_attr_t huge;
    pthread_attr_init(&huge);
    pthread_attr_setstacksize(&huge, std::size_t{1} << 47);
    if (pthread_setattr_default_np(&huge) != 0) std::abort();
    pthread_attr_destroy(&huge);
  }
  WantOfThreads(const WantOfThreads&) = delete;
  WantOfThreads& operator=(const WantOfThreads&) = delete;
  ~WantOfThreads() {
    pthread_setattr_default_np(&before_);
    pthread_attr_destroy(&before_);
  }

 private:
  pthread_attr_t before_{};
};
