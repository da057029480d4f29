// Supervises by SECCOMP_RET_USER_NOTIF.
#include "supervisor.hpp"

#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include "family.hpp"
#include "system_calls.hpp"

namespace faults {

namespace {

std::string_view call_of(long number) {
  for (const SystemCall& row : system_calls()) {
    if (std::ranges::find(row.numbers, number) != row.numbers.end()) return row.name;
  }
  return {};
}

// The C library ends the program where it cannot wake, which it can.
bool may_fail(const seccomp_data& call) {
  if (call.nr != SYS_futex) return true;
  const auto operation = static_cast<int>(call.args[1]) & FUTEX_CMD_MASK;
  return operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET;
}

// A thread's process.
pid_t process_with(pid_t thread) {
  std::ifstream file("/proc/" + std::to_string(thread) + "/status");
  std::string word;
  while (file >> word) {
    if (word != "Tgid:") continue;
    pid_t process = 0;
    file >> process;
    return process;
  }
  return thread;
}

}  // namespace

void be_supervised(Shared& shared, const std::vector<long>& numbers) {
  std::vector<sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const long number : numbers) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const long listener = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (listener < 0) ::_exit(2);
  shared.listener = static_cast<int>(listener);
  while (!shared.listener_taken) ::sched_yield();
}

Supervisor::Supervisor(Shared& shared, const Fault& fault, pid_t scenario)
    : shared_(shared), fault_(fault), scenario_(scenario) {}

bool Supervisor::attach() {
  const leasepool::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, scenario_, 0)));
  while (shared_.listener < 0) {
    siginfo_t end{};
    ::waitid(P_PID, static_cast<id_t>(scenario_), &end, WEXITED | WNOHANG | WNOWAIT);
    if (end.si_pid != 0) return false;
    ::usleep(100);
  }
  listener_ = leasepool::Fd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), shared_.listener.load(), 0)));
  shared_.listener_taken = true;
  return static_cast<bool>(listener_);
}

Role Supervisor::role_of(pid_t thread) const {
  const pid_t process = process_with(thread);
  if (process == scenario_) return Role::parent;
  return process_of(process).name.starts_with(kWorkerName) ? Role::worker : Role::server;
}

void Supervisor::answer() {
  seccomp_notif question{};
  if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &question) != 0) return;  // a signal came, or its end
  seccomp_notif_resp answer{.id = question.id, .val = 0, .error = 0, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  if (shared_.armed[1] && may_fail(question.data)) {
    const Role role = role_of(static_cast<pid_t>(question.pid));
    const auto at = static_cast<std::size_t>(role);
    const std::string_view call = call_of(question.data.nr);
    if (shared_.armed[at]) {
      const long seen = ++calls_[std::string(call)].of[at];
      if (call == fault_.call && role == fault_.role && (fault_.nth == 0 || fault_.nth == seen)) {
        ++shared_.injected;
        answer.flags = 0;
        answer.error = -fault_.error;
      }
    }
  }
  ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

}  // namespace faults
