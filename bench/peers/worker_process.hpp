// A worker process of a peer: forked, ready when it says so, and gone when the program that forked it is, however that
// ends.
#pragma once

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <exception>
#include <string>

#include "report.hpp"

namespace peers {

// Constructed while the program has one thread, and before it uses a library that does not stand a fork.
class WorkerProcess {
 public:
  // The worker calls serve(name, ready), which serves at the abstract Unix socket `name`, calls ready() once a client
  // can connect, and does not return.
  template <class Serve>
  WorkerProcess(std::size_t number, const Serve& serve)
      : name_("leasepool-peer-" + std::to_string(getpid()) + "-" + std::to_string(number)) {
    int ends[2] = {-1, -1};
    if (pipe(ends) != 0) fail("no pipe");
    const pid_t parent = getpid();
    process_ = fork();
    if (process_ < 0) fail("no worker process");
    if (process_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(0);  // it ended before the line above
      close(ends[0]);
      try {
        serve(name_, [&] {
          const char ready = 1;
          if (write(ends[1], &ready, 1) != 1) fail("a worker cannot say that it is ready");
          close(ends[1]);
        });
      } catch (const std::exception& error) {
        fail(std::string("a worker: ") + error.what());
      }
      fail("a worker ended by itself");
    }
    close(ends[1]);
    char ready = 0;
    if (read(ends[0], &ready, 1) != 1) fail("a worker did not begin");
    close(ends[0]);
  }
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;
  ~WorkerProcess() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }

  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
  pid_t process_ = -1;
};

}  // namespace peers
