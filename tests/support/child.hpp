// run_in_child(): does something in a forked child, for what ends the process or cannot be undone in it.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <string>
#include <system_error>
#include <utility>

#include "support/waitable_children.hpp"

namespace leasepool::test {

// How the child ended, and what it wrote to its standard error.
struct ChildEnd {
  int status = 0;  // as of waitpid()
  std::string output;

  [[nodiscard]] bool exited_with(int code) const { return WIFEXITED(status) && WEXITSTATUS(status) == code; }
  [[nodiscard]] bool killed_by(int signal) const { return WIFSIGNALED(status) && WTERMSIG(status) == signal; }
};

// The child exits with 0 when `function` returns, with 99 when it throws, and is killed by SIGALRM when it takes longer
// than the limit.
template <class Function>
ChildEnd run_in_child(Function function, unsigned limit_seconds = 60) {
  const WaitableChildren waitable;
  int ends[2];
  if (::pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    ::close(ends[0]);
    ::dup2(ends[1], STDERR_FILENO);
    if (ends[1] != STDERR_FILENO) ::close(ends[1]);  // it is where the program has closed that
    WaitableChildren::put_back();
    ::signal(SIGABRT, SIG_DFL);  // not Catch2's handler, which would report a failed test
    ::signal(SIGSEGV, SIG_DFL);
    ::alarm(limit_seconds);
    try {
      function();
    } catch (const std::exception& error) {
      const std::string text = std::string("threw: ") + error.what();
      (void)!::write(STDERR_FILENO, text.data(), text.size());
      ::_exit(99);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  ChildEnd end;
  char buffer[4096];
  for (;;) {
    const ssize_t count = ::read(ends[0], buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    end.output.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(ends[0]);
  while (::waitpid(child, &end.status, 0) < 0 && errno == EINTR) {
  }
  return end;
}

}  // namespace leasepool::test
