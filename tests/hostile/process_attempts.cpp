// Other processes, and more of its own.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <leasepool/leasepool.hpp>

#include <pthread.h>

#include <cerrno>
#include <csignal>

#include "attempts.hpp"

namespace hostile::processes {

namespace {

// A clean end of a child that should not have been.
std::string reap(long child, const char* call) {
  if (child == 0) ::_exit(0);
  tried(child, call);
  ::waitpid(static_cast<pid_t>(child), nullptr, 0);
  return {};
}

char own_byte = 'x';

long transfer(long number, pid_t from) {
  iovec here{.iov_base = &own_byte, .iov_len = 1};
  iovec there{.iov_base = &own_byte, .iov_len = 1};  // the same program has it at the same address
  return ::syscall(number, from, &here, 1, &there, 1, 0);
}

}  // namespace

std::string trace_parent(const Targets& at) {
  tried(::ptrace(PTRACE_SEIZE, at.parent, nullptr, nullptr), "ptrace()");
  return {};
}
std::string read_parent(const Targets& at) {
  tried(transfer(SYS_process_vm_readv, at.parent), "process_vm_readv()");
  return {};
}
std::string write_parent(const Targets& at) {
  tried(transfer(SYS_process_vm_writev, at.parent), "process_vm_writev()");
  return {};
}
std::string write_sibling(const Targets& at) {
  tried(transfer(SYS_process_vm_writev, at.sibling), "process_vm_writev()");
  return {};
}
std::string kill_parent(const Targets& at) {
  tried(::kill(at.parent, SIGKILL), "kill()");
  return {};
}
std::string kill_sibling(const Targets& at) {
  tried(::kill(at.sibling, SIGKILL), "kill()");
  return {};
}
std::string kill_fork_server(const Targets& at) {
  tried(::kill(at.fork_server, SIGKILL), "kill()");
  return {};
}
// With signal 0, which asks only whether it could: should it ever get through, all that is ours would be gone.
std::string kill_all(const Targets& /*at*/) {
  tried(::kill(-1, 0), "kill()");
  return {};
}
std::string kill_parents_thread(const Targets& at) {
  tried(::syscall(SYS_tgkill, at.parent, at.parent, SIGKILL), "tgkill()");
  return {};
}
std::string queue_signal(const Targets& at) {
  tried(::sigqueue(at.parent, SIGTERM, {}), "rt_sigqueueinfo()");
  return {};
}
std::string signal_by_pidfd(const Targets& at) {
  const auto pidfd = static_cast<int>(tried(::syscall(SYS_pidfd_open, at.parent, 0), "pidfd_open()"));
  ::syscall(SYS_pidfd_send_signal, pidfd, 0, nullptr, 0);
  ::close(pidfd);
  return {};
}
std::string take_fork_servers_socket(const Targets& at) {
  const auto pidfd = static_cast<int>(tried(::syscall(SYS_pidfd_open, at.fork_server, 0), "pidfd_open()"));
  for (int fd = 3; fd < 16; ++fd) {
    const long taken = ::syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    if (taken >= 0) ::close(static_cast<int>(taken));
  }
  ::close(pidfd);
  return {};
}
std::string open_fork_servers_socket(const Targets& at) {
  const std::string path = "/proc/" + std::to_string(at.fork_server) + "/fd/3";
  tried(::open(path.c_str(), O_RDWR | O_CLOEXEC), "open()");
  return {};
}
std::string signal_through_descriptor(const Targets& at) {
  tried(::fcntl(STDIN_FILENO, F_SETOWN, at.parent), "fcntl()");
  return {};
}
std::string change_parents_limits(const Targets& at) {
  rlimit none{};
  tried(::prlimit(at.parent, RLIMIT_CORE, nullptr, &none), "prlimit()");
  return {};
}
std::string slow_parent_down(const Targets& at) {
  tried(::setpriority(PRIO_PROCESS, static_cast<id_t>(at.parent), 19), "setpriority()");
  return {};
}
std::string move_parent(const Targets& at) {
  cpu_set_t cores;
  tried(::sched_getaffinity(at.parent, sizeof cores, &cores), "sched_getaffinity()");
  tried(::sched_setaffinity(at.parent, sizeof cores, &cores), "sched_setaffinity()");
  return {};
}

std::string fork_once(const Targets& /*at*/) { return reap(::fork(), "fork()"); }
std::string fork_past_the_c_library(const Targets& /*at*/) {
  return reap(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr), "clone()");
}
std::string fork_by_clone3(const Targets& /*at*/) {
  struct {
    std::uint64_t flags = 0, pidfd = 0, child_tid = 0, parent_tid = 0, exit_signal = SIGCHLD, stack = 0, stack_size = 0,
                  tls = 0;
  } arguments;
  return reap(::syscall(SYS_clone3, &arguments, sizeof arguments), "clone3()");
}
// Should it ever get through: so many and no more.
std::string fork_bomb(const Targets& /*at*/) {
  for (int i = 0; i < 100; ++i) reap(::fork(), "fork()");
  return {};
}
std::string start_thread(const Targets& /*at*/) {
  pthread_t thread{};
  errno = ::pthread_create(&thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr);
  tried(errno == 0 ? 0 : -1, "pthread_create()");
  ::pthread_join(thread, nullptr);
  return {};
}
std::string spawn(const Targets& /*at*/) {
  char name[] = "true";
  char* const arguments[] = {name, nullptr};
  pid_t child = 0;
  errno = ::posix_spawn(&child, "/bin/true", nullptr, nullptr, arguments, environ);
  return reap(errno == 0 ? child : -1, "posix_spawn()");
}
std::string execute(const Targets& /*at*/) {
  char name[] = "true";
  char* const arguments[] = {name, nullptr};
  tried(::execv("/bin/true", arguments), "execve()");
  return {};
}
std::string execute_memory(const Targets& /*at*/) {
  const auto fd = static_cast<int>(tried(::memfd_create("program", MFD_CLOEXEC), "memfd_create()"));
  char name[] = "program";
  char* const arguments[] = {name, nullptr};
  tried(::fexecve(fd, arguments, environ), "execveat()");
  return {};
}

}  // namespace hostile::processes

LEASEPOOL_REGISTER(hostile::processes::trace_parent);
LEASEPOOL_REGISTER(hostile::processes::read_parent);
LEASEPOOL_REGISTER(hostile::processes::write_parent);
LEASEPOOL_REGISTER(hostile::processes::write_sibling);
LEASEPOOL_REGISTER(hostile::processes::kill_parent);
LEASEPOOL_REGISTER(hostile::processes::kill_sibling);
LEASEPOOL_REGISTER(hostile::processes::kill_fork_server);
LEASEPOOL_REGISTER(hostile::processes::kill_all);
LEASEPOOL_REGISTER(hostile::processes::kill_parents_thread);
LEASEPOOL_REGISTER(hostile::processes::queue_signal);
LEASEPOOL_REGISTER(hostile::processes::signal_by_pidfd);
LEASEPOOL_REGISTER(hostile::processes::take_fork_servers_socket);
LEASEPOOL_REGISTER(hostile::processes::open_fork_servers_socket);
LEASEPOOL_REGISTER(hostile::processes::signal_through_descriptor);
LEASEPOOL_REGISTER(hostile::processes::change_parents_limits);
LEASEPOOL_REGISTER(hostile::processes::slow_parent_down);
LEASEPOOL_REGISTER(hostile::processes::move_parent);
LEASEPOOL_REGISTER(hostile::processes::fork_once);
LEASEPOOL_REGISTER(hostile::processes::fork_past_the_c_library);
LEASEPOOL_REGISTER(hostile::processes::fork_by_clone3);
LEASEPOOL_REGISTER(hostile::processes::fork_bomb);
LEASEPOOL_REGISTER(hostile::processes::start_thread);
LEASEPOOL_REGISTER(hostile::processes::spawn);
LEASEPOOL_REGISTER(hostile::processes::execute);
LEASEPOOL_REGISTER(hostile::processes::execute_memory);

namespace hostile {

std::vector<Attempt> process_attempts() {
  using namespace processes;
  using enum Ending;
  return {
      {"trace the parent (ptrace)", "ptrace()", trace_parent, untried, fatal, fatal},
      {"read the parent's memory (process_vm_readv)", "process_vm_readv()", read_parent, untried, fatal, fatal},
      {"write the parent's memory (process_vm_writev)", "process_vm_writev()", write_parent, untried, fatal, fatal},
      {"write a sibling's memory", "process_vm_writev()", write_sibling, untried, fatal, fatal},
      {"kill the parent", "kill()", kill_parent, untried, refused, refused},
      {"kill a sibling", "kill()", kill_sibling, untried, refused, refused},
      {"kill the fork server", "kill()", kill_fork_server, untried, refused, refused},
      {"kill everything", "kill()", kill_all, works, refused, refused},
      {"kill the parent through its thread (tgkill)", "tgkill()", kill_parents_thread, untried, refused, refused},
      {"queue a signal to the parent", "rt_sigqueueinfo()", queue_signal, untried, refused, refused},
      {"signal the parent through a pidfd", "pidfd_open()", signal_by_pidfd, works, fatal, fatal},
      {"have a descriptor signal the parent (F_SETOWN)", "fcntl()", signal_through_descriptor, untried, refused,
       refused},
      {"take a socket out of the fork server (pidfd_getfd)", "pidfd_open()", take_fork_servers_socket, works, fatal,
       fatal},
      {"open a socket of the fork server (`/proc/SERVER/fd/3`)", "open()", open_fork_servers_socket, untried, refused,
       refused},
      {"see or set the parent's limits", "prlimit()", change_parents_limits, untried, refused, refused},
      {"set the parent's priority", "setpriority()", slow_parent_down, untried, refused, refused},
      {"set the parent's cores", "sched_setaffinity()", move_parent, untried, refused, refused},
      {"fork", "fork()", fork_once, works, refused, refused},
      {"fork past the C library (clone)", "clone()", fork_past_the_c_library, works, refused, refused},
      {"fork past the C library (clone3)", "clone3()", fork_by_clone3, works, refused, refused},
      {"fork again and again", "fork()", fork_bomb, works, refused, refused},
      {"start a thread", "pthread_create()", start_thread, works, refused, refused},
      {"spawn a program (posix_spawn)", "posix_spawn()", spawn, works, refused, refused},
      {"become another program (exec)", "execve()", execute, untried, refused, refused},
      {"become a program from memory (memfd, execveat)", "execveat()", execute_memory, untried, refused, refused},
  };
}

}  // namespace hostile
