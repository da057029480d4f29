// The handler of SIGSYS. Async-signal-safe.
#include "sandbox/blocked_call.hpp"

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace leasepool::detail {

namespace {

constexpr int kFromFilter = 1;  // SYS_SECCOMP as si_code

// Of this process: a signal's handler has no argument of its own.
struct Handling {
  std::atomic<std::uint64_t>* note = nullptr;
  struct sigaction previous{};
};
Handling& handling() noexcept {
  static Handling of_this_process;
  return of_this_process;
}

// The arguments and the result of the system call that was trapped.
#if defined(__x86_64__)
long argument_of(const ucontext_t& context, int index) noexcept {
  constexpr int kRegisters[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10};
  return context.uc_mcontext.gregs[kRegisters[index]];
}
void set_result(ucontext_t& context, long result) noexcept { context.uc_mcontext.gregs[REG_RAX] = result; }
#elif defined(__aarch64__)
long argument_of(const ucontext_t& context, int index) noexcept {
  return static_cast<long>(context.uc_mcontext.regs[index]);
}
void set_result(ucontext_t& context, long result) noexcept {
  context.uc_mcontext.regs[0] = static_cast<unsigned long>(result);
}
#endif

bool stood_in_for_fstat(const siginfo_t& info, ucontext_t& context) noexcept {
  if constexpr (!kStandsInForFstat) return false;
  if (info.si_syscall != SYS_newfstatat) return false;
  const int before = errno;
  long result = -EPERM;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): it comes as a register
  if (*reinterpret_cast<const char*>(argument_of(context, 1)) == '\0') {
    const long status = ::syscall(SYS_fstat, argument_of(context, 0), argument_of(context, 2));
    result = status == 0 ? 0 : -errno;
  }
  set_result(context, result);
  errno = before;
  return true;
}

void handle(int signal, siginfo_t* info, void* context) {
  const bool from_filter = info->si_code == kFromFilter;
  if (from_filter && stood_in_for_fstat(*info, *static_cast<ucontext_t*>(context))) return;
  if (from_filter && handling().note != nullptr) {
    handling().note->store(
        pack({.architecture = info->si_arch, .number = static_cast<std::uint32_t>(info->si_syscall)}));
  }
  ::sigaction(signal, &handling().previous, nullptr);
  ::raise(signal);  // comes when this handler has returned
}

}  // namespace

bool note_blocked_calls(std::atomic<std::uint64_t>& note) noexcept {
  handling().note = &note;
  struct sigaction action{};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  return ::sigaction(SIGSYS, &action, &handling().previous) == 0;
}

}  // namespace leasepool::detail
