// Brings about what takes some doing, for the test of docs/errors.md: limits and sandboxes of worker processes,
// initializers, cgroups, and systems that refuse io_uring.
#pragma once

#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "support.hpp"
#include "support/child.hpp"
#include "support/sanitized.hpp"

namespace rare_failures {

inline constexpr std::size_t kMegabyte = std::size_t{1} << 20;

inline int try_ptrace() { return static_cast<int>(::syscall(SYS_ptrace, 16, ::getppid(), 0, 0)); }
inline std::size_t allocate_or_die(std::size_t bytes) noexcept { return std::vector<char>(bytes).size(); }
inline lp::Fd make_ring() {
  io_uring_params parameters{};
  return lp::Fd(static_cast<int>(::syscall(SYS_io_uring_setup, 1, &parameters)));
}
inline int take_ring(const lp::Fd& ring) { return ring ? 1 : 0; }
inline void fail_to_load(const std::string& what) { throw std::runtime_error("no such file: " + what); }

// Kernels before 6.8 pass an io_uring to another process.
inline bool ring_can_be_passed() {
  const lp::Fd ring = make_ring();
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::abort();
  const lp::Fd ours(ends[0]);
  const lp::Fd theirs(ends[1]);
  char byte = 0;
  iovec data{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  *reinterpret_cast<int*>(CMSG_DATA(header)) = ring.get();
  return ::sendmsg(ours.get(), &message, 0) == 1;
}

// From now on io_uring_setup fails with `error`, in this process.
inline void refuse_io_uring(int error) {
  std::array<sock_filter, 4> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) {
    throw std::runtime_error("seccomp");
  }
}

}  // namespace rare_failures

LEASEPOOL_REGISTER(rare_failures::try_ptrace);
LEASEPOOL_REGISTER(rare_failures::allocate_or_die);
LEASEPOOL_REGISTER(rare_failures::make_ring);
LEASEPOOL_REGISTER(rare_failures::take_ring);
LEASEPOOL_REGISTER(rare_failures::fail_to_load);

// What a start of a manager with such options fails with.
template <class Failures>
lp::Task<> fail_start(Failures& failures, lp::Loop& loop, lp::ManagerOptions options) {
  lp::LeasedExecutorManager manager(loop, std::move(options));
  try {
    co_await manager.start();
  } catch (const lp::LeasePoolError& error) {
    failures.add(error);
  }
}

// What a call fails with, on a manager with such options.
template <class Failures, class... A>
lp::Task<> fail_call(Failures& failures, lp::Loop& loop, lp::ManagerOptions options, lp::AcquireOptions acquire,
                     A... function_and_arguments) {
  co_await with_manager(loop, std::move(options), [&](Manager& manager) -> lp::Task<> {
    const auto lease = co_await manager.acquire(acquire);
    const std::size_t before = failures.answers();
    lease.run_async(std::move(function_and_arguments)..., [&](const auto& result) { failures.add(result); });
    co_await until(loop, [&] { return failures.answers() > before; });
  });
}

template <class Failures>
lp::Task<> fail_rarely(Failures& failures, lp::Loop& loop, lp::ManagerOptions options, lp::AcquireOptions acquire) {
  using namespace rare_failures;
  for (const auto backend : {ExecutorBackend::thread, ExecutorBackend::process}) {
    options.backend = backend;
    lp::ManagerOptions initialized = options;
    initialized.initializer = {fail_to_load, "model"};
    co_await fail_start(failures, loop, initialized);
  }
  lp::ManagerOptions changed = options;
  changed.initializer = {[] {}};
  co_await fail_start(failures, loop, changed);
  changed = options;
  changed.worker_cgroup = "/nonexistent";
  co_await fail_start(failures, loop, changed);

  changed = options;
  changed.sandbox = lp::Sandbox::compute(lp::Sandbox::best_effort);
  co_await fail_call(failures, loop, changed, acquire, try_ptrace);
  if (!failures.has("it tried ptrace()")) failures.excuse("SIGSYS");  // no seccomp here
  if (leasepool::test::kSanitized) {
    failures.excuse("after it ran out of memory");  // its shadow memory alone is more than any limit
  } else {
    changed = options;
    changed.worker_limits.memory = 1024 * kMegabyte;
    co_await fail_call(failures, loop, changed, acquire, allocate_or_die, 2048 * kMegabyte);
  }
  if (ring_can_be_passed()) {
    failures.excuse("failed while sending its");
  } else {
    co_await fail_call(failures, loop, options, acquire, take_ring, make_ring());
    co_await fail_call(failures, loop, options, acquire, make_ring);
  }
}

template <class Failures>
void fail_without_io_uring(Failures& failures) {
  for (const int error : {EPERM, ENOSYS, ENOMEM, EMFILE, EINVAL}) {
    const auto end = leasepool::test::run_in_child([error] {
      rare_failures::refuse_io_uring(error);
      try {
        const lp::Loop loop({.engine = lp::LoopEngine::io_uring});
      } catch (const lp::LeasePoolError& refused) {
        const std::string what = refused.what();
        const std::size_t own = what.size() - refused.code().message().size() - 2;
        if (refused.code() == Errc::unsupported) (void)!::write(STDERR_FILENO, what.data(), own);
      }
    });
    failures.add(lp::Error(Errc::unsupported, end.output));
  }
}
