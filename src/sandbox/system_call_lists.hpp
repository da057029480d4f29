// Which system calls a sandboxed worker may make. What stands in no list fails with EPERM; what is not what it seems,
// because a number, a flag or a pid decides, has a rule of its own in system_call_filter.cpp.
#pragma once

namespace leasepool::detail {

// What the worker's own loop, the C++ runtime, the allocator and code that computes need. The descriptors that these
// work on are those that the worker has: no call here makes one that leads out of it.
inline constexpr const char* kComputeCalls[] = {
    // Its channel, its standard streams, descriptors that came as arguments.
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "lseek",
    "close", "close_range", "dup", "dup2", "dup3", "fstat", "fstatfs", "recvfrom", "recvmsg", "recvmmsg", "sendto",
    "sendmsg", "sendmmsg", "shutdown", "getsockopt", "getsockname", "poll", "ppoll", "select", "pselect6",
    // Memory, shared memory included.
    "brk", "mmap", "munmap", "mremap", "mprotect", "mincore", "msync", "memfd_create", "ftruncate", "fallocate",
    "membarrier",
    // Time.
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times",
    // Locks and the threads that there are.
    "futex", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "getcpu",
    // Signals to itself.
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend", "rt_sigtimedwait",
    "sigaltstack", "restart_syscall", "pause",
    // Itself, and its end.
    "getpid", "gettid", "getppid", "getpgrp", "getpgid", "getsid", "getuid", "geteuid", "getgid", "getegid",
    "getresuid", "getresgid", "getgroups", "getrlimit", "getrusage", "uname", "sysinfo", "getrandom", "arch_prctl",
    "exit", "exit_group"};

// What Sandbox::files() adds. Landlock decides which files these reach; what it cannot decide about (modes, owners,
// times, attributes, device nodes) is not here.
inline constexpr const char* kFileCalls[] = {
    "creat",     "stat",       "lstat",    "newfstatat", "statx",          "access",    "faccessat",       "faccessat2",
    "readlink",  "readlinkat", "getdents", "getdents64", "getcwd",         "chdir",     "fchdir",          "umask",
    "mkdir",     "mkdirat",    "rmdir",    "unlink",     "unlinkat",       "rename",    "renameat",        "renameat2",
    "link",      "linkat",     "symlink",  "symlinkat",  "fsync",          "fdatasync", "sync_file_range", "fadvise64",
    "readahead", "flock",      "statfs",   "sendfile",   "copy_file_range"};

// What no function calls by accident: the worker dies of it, and the error names the call.
inline constexpr const char* kFatalCalls[] = {"io_uring_setup",
                                              "io_uring_enter",
                                              "io_uring_register",
                                              "ptrace",
                                              "process_vm_readv",
                                              "process_vm_writev",
                                              "process_madvise",
                                              "process_mrelease",
                                              "kcmp",
                                              "pidfd_open",
                                              "pidfd_getfd",
                                              "pidfd_send_signal",
                                              "bpf",
                                              "perf_event_open",
                                              "userfaultfd",
                                              "seccomp",
                                              "mount",
                                              "umount2",
                                              "pivot_root",
                                              "chroot",
                                              "fsopen",
                                              "fsconfig",
                                              "fsmount",
                                              "fspick",
                                              "move_mount",
                                              "open_tree",
                                              "mount_setattr",
                                              "setns",
                                              "unshare",
                                              "setuid",
                                              "setgid",
                                              "setreuid",
                                              "setregid",
                                              "setresuid",
                                              "setresgid",
                                              "setgroups",
                                              "setfsuid",
                                              "setfsgid",
                                              "capset",
                                              "keyctl",
                                              "add_key",
                                              "request_key",
                                              "name_to_handle_at",
                                              "open_by_handle_at",
                                              "fanotify_init",
                                              "init_module",
                                              "finit_module",
                                              "delete_module",
                                              "kexec_load",
                                              "kexec_file_load",
                                              "reboot",
                                              "swapon",
                                              "swapoff",
                                              "acct",
                                              "quotactl",
                                              "iopl",
                                              "ioperm",
                                              "settimeofday",
                                              "clock_settime",
                                              "adjtimex",
                                              "clock_adjtime",
                                              "sethostname",
                                              "setdomainname",
                                              "syslog",
                                              "vhangup",
                                              "lookup_dcookie",
                                              "nfsservctl"};

}  // namespace leasepool::detail
