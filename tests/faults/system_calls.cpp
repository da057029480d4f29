// The tables. What seccomp profiles refuse is EPERM or ENOSYS; both are tried where a container's profile may do so.
#include "system_calls.hpp"

#include <sys/syscall.h>

#include <cerrno>

namespace faults {

namespace {

constexpr Role P = Role::parent;
constexpr Role S = Role::server;
constexpr Role W = Role::worker;

// Calls of the older ones that some architectures lack.
#ifdef SYS_open
#define LEGACY(name) SYS_##name,
#else
#define LEGACY(name)
#endif

const std::vector<SystemCall>& table() {
  static const std::vector<SystemCall> rows{
      // Sockets.
      {"socketpair", {SYS_socketpair}, {P, S}, {EMFILE, ENFILE, ENOMEM, EPERM}, " socketpair "},
      {"sendmsg", {SYS_sendmsg}, {P, S, W}, {EINTR, ENOMEM, ENOBUFS, ETOOMANYREFS, EPERM}, " sendmsg "},
      {"sendmsg", {SYS_sendmsg}, {P, S}, {EAGAIN}, " sendmsg "},
      {"recvmsg", {SYS_recvmsg}, {P, S, W}, {EINTR, ENOMEM, ENOBUFS}, " recvmsg "},
      {"recvmsg", {SYS_recvmsg}, {P, S}, {EAGAIN}, " recvmsg "},
      {"sendto", {SYS_sendto}, {P, W}, {EINTR, ENOMEM, ENOBUFS}, " send "},
      {"sendto", {SYS_sendto}, {P}, {EAGAIN}, " send "},
      {"recvfrom", {SYS_recvfrom}, {W}, {EINTR, ENOMEM}, " recv "},
      {"getsockopt", {SYS_getsockopt}, {P, W}, {ENOBUFS, EPERM}, " getsockopt "},
      {"setsockopt", {SYS_setsockopt}, {P}, {ENOMEM, EPERM}, " setsockopt "},
      {"shutdown", {SYS_shutdown}, {P}, {EPERM}, " shutdown "},
      {"socket", {SYS_socket}, {P}, {EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM}, " socket "},
      {"bind", {SYS_bind}, {P}, {EADDRINUSE, ENOMEM, EPERM}, " bind "},
      {"listen", {SYS_listen}, {P}, {EADDRINUSE, EPERM}, " listen "},
      {"getsockname", {SYS_getsockname}, {P}, {ENOBUFS, EPERM}, " getsockname "},
      {"getpeername", {SYS_getpeername}, {}, {}, " getpeername "},
      // Processes and threads.
      {"clone", {LEGACY(fork) LEGACY(vfork) SYS_clone, SYS_clone3}, {P, S}, {EAGAIN, ENOMEM, EPERM}, " fork "},
      {"pidfd_open", {SYS_pidfd_open}, {P, S}, {EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM}, " SYS_pidfd_open "},
      {"pidfd_send_signal", {SYS_pidfd_send_signal}, {P, S}, {EPERM, ENOSYS}, " SYS_pidfd_send_signal "},
      {"kill", {SYS_kill, SYS_tgkill}, {P, S}, {EPERM}, " kill "},
      {"waitid", {SYS_waitid}, {P, S}, {EINTR, EPERM}, " waitid SYS_waitid "},
      {"wait4", {SYS_wait4}, {P, S}, {EINTR}, " waitpid "},
      {"setpgid", {SYS_setpgid}, {P, S}, {EPERM, EACCES}, " setpgid "},
      {"prctl", {SYS_prctl}, {S, W}, {EPERM, EINVAL}, " prctl "},
      {"futex", {SYS_futex}, {P, W}, {EINTR, EAGAIN}, " SYS_futex "},
      {"sched_getaffinity", {SYS_sched_getaffinity}, {P, W}, {EPERM, ENOSYS}, " sched_getaffinity "},
      {"getpriority", {SYS_getpriority, SYS_setpriority}, {P, W}, {EPERM, EACCES}, " nice getpriority setpriority "},
      {"prlimit64",
       {LEGACY(getrlimit) LEGACY(setrlimit) SYS_prlimit64},
       {P, W},
       {EPERM},
       " getrlimit setrlimit prlimit "},
      {"getrusage", {SYS_getrusage}, {W}, {EPERM}, " getrusage "},
      // Memory.
      {"memfd_create", {SYS_memfd_create}, {P}, {EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM}, " memfd_create "},
      {"ftruncate", {SYS_ftruncate}, {P}, {EINTR, ENOSPC, ENOMEM, EFBIG, EPERM}, " ftruncate "},
      {"mmap", {SYS_mmap}, {P, S, W}, {ENOMEM, EAGAIN, EPERM}, " mmap "},
      {"madvise", {SYS_madvise}, {P, W}, {ENOMEM, EAGAIN, EINVAL}, " madvise "},
      {"sigaltstack", {SYS_sigaltstack}, {S}, {ENOMEM, EPERM}, " sigaltstack "},
      // Descriptors and files.
      {"openat",
       {LEGACY(open) SYS_openat},
       {P, S, W},
       {EMFILE, ENFILE, ENOMEM, EINTR, EACCES, ENOENT, EPERM},
       " open openat "},
      {"read", {SYS_read}, {P, S, W}, {EINTR, EIO}, " read "},
      {"read", {SYS_read}, {S}, {EAGAIN}, " read "},
      {"write", {SYS_write}, {P}, {EINTR}, " write "},  // to an eventfd
      {"write", {SYS_write}, {W}, {EINTR, EAGAIN, EIO, ENOSPC}, " write "},
      {"pwritev2", {SYS_pwritev2}, {P}, {EINTR, EOPNOTSUPP, ENOSYS, EPERM}, " pwritev2 "},
      {"mkdir", {LEGACY(mkdir)}, {P}, {EACCES, ENOSPC, EPERM}, " mkdir "},
      {"fchmod", {SYS_fchmod}, {P}, {EPERM, EIO}, " fchmod "},
      {"unlink", {LEGACY(unlink) SYS_unlinkat}, {P}, {EPERM, EIO}, " unlink "},
      {"pread64", {SYS_pread64}, {P, W}, {EINTR, EIO}, " pread "},
      {"fcntl", {SYS_fcntl}, {P, S, W}, {EMFILE, EBUSY, EINVAL, EPERM}, " fcntl "},
      {"fstat", {SYS_fstat, SYS_newfstatat}, {P, S, W}, {ENOMEM, EPERM}, " fstat lstat SYS_fstat SYS_newfstatat "},
      {"fstatfs", {SYS_fstatfs}, {P, W}, {EINTR, ENOSYS}, " fstatfs "},
      {"readlink", {LEGACY(readlink) SYS_readlinkat}, {P, W}, {EACCES, ENOENT, ENOMEM}, " readlink "},
      {"getdents64", {SYS_getdents64}, {P, S}, {EIO, EINTR, ENOMEM}, " readdir SYS_getdents64 "},
      {"lseek", {SYS_lseek}, {P, S, W}, {EPERM}, " lseek "},
      {"pipe2", {LEGACY(pipe) SYS_pipe2}, {P}, {EMFILE, ENFILE, ENOMEM}, " pipe2 "},
      {"dup2", {LEGACY(dup2) SYS_dup3}, {S, W}, {EBUSY, EINTR, EMFILE}, " dup2 "},
      {"close_range", {SYS_close_range}, {S}, {ENOSYS, EPERM, EMFILE, ENOMEM}, " SYS_close_range "},
      // Waiting.
      {"poll", {LEGACY(poll) SYS_ppoll}, {P, S, W}, {EINTR, ENOMEM, EPERM}, " poll ppoll "},
      {"clock_nanosleep", {LEGACY(nanosleep) SYS_clock_nanosleep}, {P, W}, {EINTR}, " nanosleep "},
      {"signalfd4", {SYS_signalfd4}, {P}, {EMFILE, ENFILE, ENOMEM, EPERM}, " signalfd "},
      {"eventfd2", {SYS_eventfd2}, {P}, {EMFILE, ENFILE, ENOMEM, EPERM}, " eventfd "},
      {"epoll_create1", {SYS_epoll_create1}, {P}, {EMFILE, ENFILE, ENOMEM, EPERM}, " epoll_create1 "},
      {"epoll_ctl", {SYS_epoll_ctl}, {P}, {ENOMEM, ENOSPC, EPERM}, " epoll_ctl "},
      {"epoll_wait", {LEGACY(epoll_wait) SYS_epoll_pwait}, {P}, {EINTR, EPERM}, " epoll_wait "},
      {"timerfd_create", {SYS_timerfd_create}, {P}, {EMFILE, ENFILE, ENOMEM, EPERM}, " timerfd_create "},
      {"timerfd_settime", {SYS_timerfd_settime}, {P}, {EPERM}, " timerfd_settime "},
      {"io_uring_setup",
       {SYS_io_uring_setup},
       {P},
       {EPERM, ENOSYS, ENOMEM, EMFILE, ENFILE, EINVAL},
       " io_uring_queue_init_params "},
      {"io_uring_enter",
       {SYS_io_uring_enter},
       {P},
       {EINTR, EAGAIN, EBUSY, ENOMEM, EBADR, EPERM, ENOSYS},
       " io_uring_submit_and_wait io_uring_submit_and_get_events "},
      {"io_uring_register",
       {SYS_io_uring_register},
       {P},
       {EPERM, ENOSYS, ENOMEM, EINVAL},
       " io_uring_register_eventfd io_uring_register_files "},
      // Whom a worker acts for. Only where the program has become somebody else: tests/pool/alone.
      {"capget", {SYS_capget}, {P, S, W}, {EPERM, ENOSYS}, " SYS_capget "},
      {"capset", {SYS_capset}, {S, W}, {EPERM, ENOSYS}, " SYS_capset "},
      {"getgroups", {SYS_getgroups}, {P, S, W}, {EPERM, EINVAL}, " getgroups "},
      {"setgroups", {SYS_setgroups}, {S, W}, {EPERM, ENOMEM}, " setgroups "},
      {"setresuid", {SYS_setresuid, SYS_setresgid}, {S, W}, {EPERM, EAGAIN}, " setresuid setresgid "},
      {"chroot", {SYS_chroot, SYS_fchdir}, {S, W}, {EPERM, EACCES, ENOMEM}, " chroot fchdir "},
      // What a worker gives up.
      {"seccomp", {SYS_seccomp}, {P, W}, {EPERM, ENOSYS, ENOMEM, EINVAL}, " SYS_seccomp seccomp_load "},
      {"landlock_create_ruleset",
       {SYS_landlock_create_ruleset},
       {P, W},
       {EOPNOTSUPP, ENOSYS, EPERM, ENOMEM, EMFILE},
       " SYS_landlock_create_ruleset "},
      {"landlock_add_rule", {SYS_landlock_add_rule}, {W}, {ENOMEM, EPERM}, " SYS_landlock_add_rule "},
      {"landlock_restrict_self", {SYS_landlock_restrict_self}, {W}, {EPERM, ENOMEM}, " SYS_landlock_restrict_self "},
      // Only with a worker_cgroup, which needs a directory that was delegated: tests/pool/kill_tree_test.cpp.
      {"mkdirat", {SYS_mkdirat}, {}, {}, " mkdirat unlinkat faccessat fdopendir "},
      // Only of an engine on epoll with a program's own I/O on it: tests/loop/engine_files_test.cpp.
      {"preadv2", {SYS_preadv2}, {}, {}, " preadv2 pwritev2 pwrite accept4 connect fsync sigpending sigtimedwait "},
      // They cannot fail where their arguments are right; close() has closed even where it reports an error.
      {"close",
       {SYS_close},
       {},
       {},
       " close closedir munmap uname getpid getppid gettid getresuid getresgid sigprocmask sigaction _exit "},
      {"geteuid", {SYS_geteuid}, {}, {}, " geteuid sbrk inet_pton "},
  };
  return rows;
}

#undef LEGACY

}  // namespace

std::span<const SystemCall> system_calls() { return table(); }

std::span<const RingRow> ring_rows() {
  static const std::vector<RingRow> rows{
      {"ring.recv", {EINTR, ENOMEM, ECONNRESET}},
      {"ring.send", {EINTR, ENOMEM, ENOBUFS, EPIPE}},
      {"ring.recvmsg", {EINTR, ENOMEM, ENOBUFS}},
      {"ring.sendmsg", {EINTR, ENOMEM, ENOBUFS, ETOOMANYREFS, EPIPE}},
      {"ring.poll", {EINTR, ENOMEM}},
      {"ring.timeout", {EINTR, ENOMEM}},
      {"ring.read", {EINTR, EAGAIN, EIO, ENOMEM}},
      {"ring.write", {EINTR, EAGAIN, EIO, ENOSPC}},
      {"ring.accept", {EINTR, ECONNABORTED, EMFILE, ENOMEM, EINVAL}},
      {"ring.connect", {EINTR, ECONNREFUSED, ENOMEM}},
      {"ring.open", {EINTR, EMFILE, EACCES, EOPNOTSUPP}},
      {"ring.sync", {EINTR, EIO, EDQUOT}},
  };
  return rows;
}

}  // namespace faults
