// Standard streams, exit(), forked children, signals: once for all workers, and what each does for itself.
#include "worker/worker_setup.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/unique_fd.hpp"
#include "shared/worker_log.hpp"
#include "worker/stack_capture.hpp"

namespace leasepool::detail {

namespace {

bool& is_it_the_worker() noexcept {
  static bool is_it = false;
  return is_it;
}

// What there is to read of it is its end. For where there is no /dev.
UniqueFd end_of_file() noexcept {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {};
  const UniqueFd write_end(ends[1]);
  return UniqueFd(ends[0]);
}

std::optional<Error> detach_standard_input() {
  UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!nothing) nothing = end_of_file();
  if (!nothing) return set_up_error("replace its standard input: open(/dev/null) and pipe2", errno);
  if (const int error = replace_descriptor(nothing.get(), STDIN_FILENO); error != 0) {
    return set_up_error("replace its standard input: dup2", error);
  }
  if (nothing.get() == STDIN_FILENO) (void)nothing.release();
  return std::nullopt;
}

void leave_to_the_program(int /*signal*/) {}

// The program's handlers are not the worker's. Its own end is the program's business: a SIGTERM to a whole service must
// not end what the program waits for, so those signals have a handler that does nothing. Programs that a function
// executes have their defaults again, as they would not if the signals were ignored.
void set_signals() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_DFL);  // fails for KILL and STOP: fine
  std::signal(SIGPIPE, SIG_IGN);  // a function that writes to a closed pipe gets EPIPE instead of dying
  struct sigaction nothing{};
  nothing.sa_handler = leave_to_the_program;
  nothing.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaction(signal, &nothing, nullptr);
}

// A function that calls exit() ends the worker; the program's own static objects are not the worker's to destroy.
void exit_without_destructors(int status, void* /*unused*/) {
  std::fflush(nullptr);
  ::_exit(status);
}

}  // namespace

int replace_descriptor(int fd, int in_place_of) noexcept {
  while (::dup2(fd, in_place_of) < 0) {
    if (errno != EINTR && errno != EBUSY) return errno;
  }
  return 0;
}

Error set_up_error(const char* what, int error) noexcept {
  return Error::make(Errc::pool_broken, [&] { return std::string("could not ") + what + ": " + std::strerror(error); });
}

bool is_the_worker() noexcept { return is_it_the_worker(); }

const char* prepare_for_workers() {
  set_signals();
  prepare_stack_notes();
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // so that lines come when they are printed, and before a crash
  if (::on_exit(exit_without_destructors, nullptr) != 0) return errno = ENOMEM, "on_exit";
  errno = ::pthread_atfork(nullptr, nullptr, [] { is_it_the_worker() = false; });
  return errno == 0 ? nullptr : "pthread_atfork";
}

std::optional<Error> set_up_worker_process(WorkerStatus& status) {
  if (auto failure = detach_standard_input()) return failure;
  is_it_the_worker() = true;
  log_to_parent(status);
  note_stacks_in(status);
  return std::nullopt;
}

}  // namespace leasepool::detail
