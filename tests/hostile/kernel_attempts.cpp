// The kernel's wider doors, its own limits, and the filter itself.
#include <fcntl.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
#include <leasepool/leasepool.hpp>

#include <array>
#include <cerrno>

#include "attempts.hpp"

namespace hostile::kernel {

namespace {

// Closes what was made.
std::string made(long fd, const char* call) {
  tried(fd, call);
  ::close(static_cast<int>(fd));
  return {};
}

}  // namespace

std::string set_up_io_uring(const Targets& /*at*/) {
  std::array<unsigned, 30> parameters{};
  return made(::syscall(SYS_io_uring_setup, 1, parameters.data()), "io_uring_setup()");
}
std::string enter_io_uring(const Targets& /*at*/) {
  tried(::syscall(SYS_io_uring_enter, 0, 0, 0, 0, nullptr, 0), "io_uring_enter()");
  return {};
}
std::string load_bpf(const Targets& /*at*/) {
  std::array<char, 64> attributes{};
  return made(::syscall(SYS_bpf, 0, attributes.data(), attributes.size()), "bpf()");
}
std::string count_events(const Targets& /*at*/) {
  std::array<char, 128> attributes{};
  return made(::syscall(SYS_perf_event_open, attributes.data(), 0, -1, -1, 0), "perf_event_open()");
}
std::string handle_page_faults(const Targets& /*at*/) {
  return made(::syscall(SYS_userfaultfd, O_CLOEXEC), "userfaultfd()");
}
std::string mount_something(const Targets& at) {
  tried(::mount("none", at.writable.c_str(), "tmpfs", 0, nullptr), "mount()");
  return {};
}
std::string unmount_something(const Targets& /*at*/) {
  tried(::umount2("/proc", MNT_DETACH), "umount2()");
  return {};
}
std::string join_namespace(const Targets& /*at*/) {
  tried(::setns(STDIN_FILENO, 0), "setns()");
  return {};
}
std::string leave_namespaces(const Targets& /*at*/) {
  tried(::unshare(CLONE_NEWUSER | CLONE_NEWNET), "unshare()");
  return {};
}
std::string change_root(const Targets& at) {
  tried(::chroot(at.writable.c_str()), "chroot()");
  return {};
}
// Past the C library, which would have every thread do it, a sanitizer's own as well.
std::string become_root(const Targets& /*at*/) {
  tried(::syscall(SYS_setuid, 0), "setuid()");
  return {};
}
std::string become_another(const Targets& /*at*/) {
  tried(::syscall(SYS_setresgid, 0, 0, 0), "setresgid()");
  return {};
}
std::string gain_capabilities(const Targets& /*at*/) {
  std::array<unsigned, 2> header{0x20080522, 0};
  std::array<unsigned, 6> all{~0U, ~0U, ~0U, ~0U, ~0U, ~0U};
  tried(::syscall(SYS_capset, header.data(), all.data()), "capset()");
  return {};
}
std::string raise_descriptors(const Targets& /*at*/) {
  rlimit limit{};
  tried(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit()");
  limit.rlim_cur = limit.rlim_max;
  tried(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit()");
  return {};
}
std::string raise_memory(const Targets& /*at*/) {
  const rlimit limit{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  tried(::setrlimit(RLIMIT_AS, &limit), "setrlimit()");
  return {};
}
std::string set_own_priority(const Targets& /*at*/) {
  tried(::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0)), "setpriority()");
  return {};
}
std::string run_in_real_time(const Targets& /*at*/) {
  const sched_param parameters{.sched_priority = 0};
  tried(::sched_setscheduler(0, SCHED_OTHER, &parameters), "sched_setscheduler()");
  return {};
}
std::string lock_memory(const Targets& at) {
  tried(::syscall(SYS_mlock, &at, sizeof at), "mlock()");  // a sanitizer's own mlock() does nothing
  return {};
}
std::string break_a_page(const Targets& /*at*/) {
  tried(::madvise(nullptr, 0, MADV_HWPOISON), "madvise()");
  return {};
}
std::string remove_filter(const Targets& /*at*/) {
  tried(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_DISABLED, 0, 0, 0), "prctl()");
  return {};
}
std::string add_filter(const Targets& /*at*/) {
  tried(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, nullptr), "seccomp()");
  return {};
}
std::string allow_privileges(const Targets& /*at*/) {
  tried(::prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), "prctl()");
  return {};
}
std::string change_personality(const Targets& /*at*/) {
  tried(::personality(0xffffffff), "personality()");
  return {};
}
std::string take_key(const Targets& /*at*/) {
  tried(::syscall(SYS_add_key, "user", "hostile", "x", 1, -3), "add_key()");
  return {};
}
std::string load_module(const Targets& /*at*/) {
  tried(::syscall(SYS_init_module, nullptr, 0, ""), "init_module()");
  return {};
}
std::string load_kernel(const Targets& /*at*/) {
  tried(::syscall(SYS_kexec_load, 0, 0, nullptr, 0), "kexec_load()");
  return {};
}
std::string reboot_machine(const Targets& /*at*/) {
  tried(::syscall(SYS_reboot, 0, 0, 0, nullptr), "reboot()");  // without the magic numbers, should it ever get there
  return {};
}
std::string set_clock(const Targets& /*at*/) {
  const timeval impossible{.tv_sec = 0, .tv_usec = -1};
  tried(::syscall(SYS_settimeofday, &impossible, nullptr), "settimeofday()");
  return {};
}
std::string rename_machine(const Targets& /*at*/) {
  tried(::syscall(SYS_sethostname, "", -1L), "sethostname()");
  return {};
}
std::string swap_on(const Targets& /*at*/) {
  tried(::swapon("/dev/null", 0), "swapon()");
  return {};
}
std::string share_memory(const Targets& /*at*/) {
  const long id = tried(::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600), "shmget()");
  ::shmctl(static_cast<int>(id), IPC_RMID, nullptr);
  return {};
}
std::string queue_messages(const Targets& /*at*/) {
  const long id = tried(::msgget(IPC_PRIVATE, IPC_CREAT | 0600), "msgget()");
  ::msgctl(static_cast<int>(id), IPC_RMID, nullptr);
  return {};
}
std::string open_message_queue(const Targets& /*at*/) {
  tried(::syscall(SYS_mq_open, "leasepool-hostile", O_RDONLY, 0, nullptr), "mq_open()");
  return {};
}
std::string call_as_32_bit(const Targets& /*at*/) {
#if defined(__x86_64__)
  long result = 0;
  const char* const path = nullptr;
  asm volatile("int $0x80" : "=a"(result) : "a"(5), "b"(path), "c"(0) : "memory");  // open() in its numbers
#endif
  return {};
}

}  // namespace hostile::kernel

LEASEPOOL_REGISTER(hostile::kernel::set_up_io_uring);
LEASEPOOL_REGISTER(hostile::kernel::enter_io_uring);
LEASEPOOL_REGISTER(hostile::kernel::load_bpf);
LEASEPOOL_REGISTER(hostile::kernel::count_events);
LEASEPOOL_REGISTER(hostile::kernel::handle_page_faults);
LEASEPOOL_REGISTER(hostile::kernel::mount_something);
LEASEPOOL_REGISTER(hostile::kernel::unmount_something);
LEASEPOOL_REGISTER(hostile::kernel::join_namespace);
LEASEPOOL_REGISTER(hostile::kernel::leave_namespaces);
LEASEPOOL_REGISTER(hostile::kernel::change_root);
LEASEPOOL_REGISTER(hostile::kernel::become_root);
LEASEPOOL_REGISTER(hostile::kernel::become_another);
LEASEPOOL_REGISTER(hostile::kernel::gain_capabilities);
LEASEPOOL_REGISTER(hostile::kernel::raise_descriptors);
LEASEPOOL_REGISTER(hostile::kernel::raise_memory);
LEASEPOOL_REGISTER(hostile::kernel::set_own_priority);
LEASEPOOL_REGISTER(hostile::kernel::run_in_real_time);
LEASEPOOL_REGISTER(hostile::kernel::lock_memory);
LEASEPOOL_REGISTER(hostile::kernel::break_a_page);
LEASEPOOL_REGISTER(hostile::kernel::remove_filter);
LEASEPOOL_REGISTER(hostile::kernel::add_filter);
LEASEPOOL_REGISTER(hostile::kernel::allow_privileges);
LEASEPOOL_REGISTER(hostile::kernel::change_personality);
LEASEPOOL_REGISTER(hostile::kernel::take_key);
LEASEPOOL_REGISTER(hostile::kernel::load_module);
LEASEPOOL_REGISTER(hostile::kernel::load_kernel);
LEASEPOOL_REGISTER(hostile::kernel::reboot_machine);
LEASEPOOL_REGISTER(hostile::kernel::set_clock);
LEASEPOOL_REGISTER(hostile::kernel::rename_machine);
LEASEPOOL_REGISTER(hostile::kernel::swap_on);
LEASEPOOL_REGISTER(hostile::kernel::share_memory);
LEASEPOOL_REGISTER(hostile::kernel::queue_messages);
LEASEPOOL_REGISTER(hostile::kernel::open_message_queue);
LEASEPOOL_REGISTER(hostile::kernel::call_as_32_bit);

namespace hostile {

std::vector<Attempt> kernel_attempts() {
  using namespace kernel;
  using enum Ending;
#if defined(__x86_64__)
  constexpr Ending kForeign = fatal;
#else
  constexpr Ending kForeign = untried;
#endif
  return {
      {"set up an io_uring", "io_uring_setup()", set_up_io_uring, works, fatal, fatal},
      {"enter an io_uring", "io_uring_enter()", enter_io_uring, untried, fatal, fatal},
      {"use BPF", "bpf()", load_bpf, untried, fatal, fatal},
      {"open a performance counter", "perf_event_open()", count_events, untried, fatal, fatal},
      {"handle page faults (userfaultfd)", "userfaultfd()", handle_page_faults, untried, fatal, fatal},
      {"mount a file system", "mount()", mount_something, untried, fatal, fatal},
      {"unmount one", "umount2()", unmount_something, untried, fatal, fatal},
      {"join a namespace (setns)", "setns()", join_namespace, untried, fatal, fatal},
      {"leave its namespaces (unshare)", "unshare()", leave_namespaces, untried, fatal, fatal},
      {"change its root directory", "chroot()", change_root, untried, fatal, fatal},
      {"become root (setuid)", "setuid()", become_root, untried, fatal, fatal},
      {"become another group (setresgid)", "setresgid()", become_another, untried, fatal, fatal},
      {"gain capabilities", "capset()", gain_capabilities, untried, fatal, fatal},
      {"raise its limit of descriptors", "setrlimit()", raise_descriptors, works, refused, refused},
      {"raise its limit of memory", "setrlimit()", raise_memory, works, refused, refused},
      {"set its own priority", "setpriority()", set_own_priority, works, refused, refused},
      {"set its own scheduling", "sched_setscheduler()", run_in_real_time, works, refused, refused},
      {"lock memory", "mlock()", lock_memory, works, refused, refused},
      {"have the kernel give up a page of memory as broken", "madvise()", break_a_page, untried, refused, refused},
      {"remove its own filter", "prctl()", remove_filter, untried, refused, refused},
      {"replace its own filter", "seccomp()", add_filter, untried, fatal, fatal},
      {"allow itself new privileges again", "prctl()", allow_privileges, untried, refused, refused},
      {"change its personality", "personality()", change_personality, works, refused, refused},
      {"put a key into the kernel's keyring", "add_key()", take_key, untried, fatal, fatal},
      {"load a kernel module", "init_module()", load_module, untried, fatal, fatal},
      {"load another kernel", "kexec_load()", load_kernel, untried, fatal, fatal},
      {"reboot the machine", "reboot()", reboot_machine, untried, fatal, fatal},
      {"set the clock", "settimeofday()", set_clock, untried, fatal, fatal},
      {"rename the machine", "sethostname()", rename_machine, untried, fatal, fatal},
      {"switch swapping on", "swapon()", swap_on, untried, fatal, fatal},
      {"make System V shared memory", "shmget()", share_memory, works, refused, refused},
      {"make a System V message queue", "msgget()", queue_messages, works, refused, refused},
      {"open a POSIX message queue", "mq_open()", open_message_queue, untried, refused, refused},
      {"make a system call by the numbers of 32-bit programs", "open()", call_as_32_bit, untried, kForeign, kForeign},
  };
}

}  // namespace hostile
