// Both ends of the guardian's pipe.
#include "guardian.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "../exit_codes.hpp"
#include "processes.hpp"

namespace lpbench::chaos {

namespace {

// The child's end; set before there are threads.
int guardian_pipe = -1;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

[[noreturn]] void refuse(const char* call) {
  throw std::system_error(errno, std::generic_category(), std::string("the guardian process: ") + call);
}

sigset_t forwarded_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

struct Command {
  pid_t process = 0;
  std::int32_t milliseconds = 0;
};

// Continues what it has stopped when that is due, and all of it at its end.
class Stops {
 public:
  void stop(const Command& command) {
    ProcessRef process(command.process);
    if (process.signal(SIGSTOP))
      stopped_.push_back({Clock::now() + std::chrono::milliseconds(command.milliseconds), std::move(process)});
  }
  void continue_due() {
    std::erase_if(stopped_, [now = Clock::now()](const Stopped& one) {
      return one.due <= now && (one.process.signal(SIGCONT), true);
    });
  }
  // In milliseconds, as poll(2) takes it.
  [[nodiscard]] int until_next() const {
    if (stopped_.empty()) return -1;
    const auto next = std::ranges::min_element(stopped_, {}, &Stopped::due)->due;
    return static_cast<int>(
        std::max<std::int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count()));
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Stopped {
    Clock::time_point due;
    ProcessRef process;
  };
  std::vector<Stopped> stopped_;
};

// What a terminal sends comes to both by itself.
void forward(int signals, pid_t child) {
  signalfd_siginfo info{};
  if (::read(signals, &info, sizeof info) != sizeof info || info.ssi_code == SI_KERNEL) return;
  ::kill(child, static_cast<int>(info.ssi_signo));
}

int guard(pid_t child, int commands) {
  const sigset_t signals = forwarded_signals();
  pollfd watched[] = {{.fd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0)), .events = POLLIN, .revents = 0},
                      {.fd = ::signalfd(-1, &signals, SFD_CLOEXEC), .events = POLLIN, .revents = 0},
                      {.fd = commands, .events = POLLIN, .revents = 0}};
  Stops stops;
  while (watched[0].revents == 0) {
    if (::poll(watched, 3, stops.until_next()) < 0 && errno != EINTR) break;
    stops.continue_due();
    if (watched[1].revents != 0) forward(watched[1].fd, child);
    Command command;
    if (watched[2].revents == 0) continue;
    if (::read(commands, &command, sizeof command) == sizeof command) {
      stops.stop(command);
    } else {
      watched[2].fd = -1;  // the child's end is closed: it ends
    }
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return kFailure;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : kInterrupted + WTERMSIG(status);
}

}  // namespace

std::optional<int> begin_guarded() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) refuse("pipe");
  sigset_t before;
  const sigset_t signals = forwarded_signals();
  ::sigprocmask(SIG_BLOCK, &signals, &before);
  const pid_t guardian = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) refuse("fork");
  if (child > 0) {
    ::close(ends[1]);
    return guard(child, ends[0]);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != guardian) ::_exit(kFailure);
  ::close(ends[0]);
  ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
  guardian_pipe = ends[1];
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return std::nullopt;
}

bool have_stopped(pid_t process, std::chrono::milliseconds time) {
  const Command command{.process = process, .milliseconds = static_cast<std::int32_t>(time.count())};
  return guardian_pipe >= 0 && ::write(guardian_pipe, &command, sizeof command) == sizeof command;
}

}  // namespace lpbench::chaos
