// Signal handlers on an alternate stack. backtrace() is used once beforehand, so that in a handler it neither loads
// anything nor allocates; _dl_find_object() takes no lock.
#include "worker/stack_capture.hpp"

#include <dlfcn.h>
#include <execinfo.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <link.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

namespace leasepool::detail {

namespace {

constexpr std::size_t kHandlerStack = std::size_t{64} << 10;

// A fault so near to the stack pointer is a stack that has no more room.
constexpr std::uintptr_t kNearStackPointer = std::uintptr_t{64} << 10;

// A signal handler has no argument of ours.
struct NotedProcess {
  WorkerStatus* status;
  pid_t pid;  // what a function forks inherits the handlers, and has nothing to say here
};
NotedProcess& noted() noexcept {
  static NotedProcess process{};
  return process;
}

struct Registers {
  std::uintptr_t program_counter = 0;
  std::uintptr_t stack_pointer = 0;
};

Registers registers_of(const void* context) noexcept {
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return {.program_counter = static_cast<std::uintptr_t>(machine.gregs[REG_RIP]),
          .stack_pointer = static_cast<std::uintptr_t>(machine.gregs[REG_RSP])};
#elif defined(__aarch64__)
  return {.program_counter = machine.pc, .stack_pointer = machine.sp};
#else
  (void)machine;
  return {};
#endif
}

// The index of the module that an address belongs to; adds it where there is room.
std::uint64_t note_module(StackNote& note, void* address, std::size_t& modules) noexcept {
  dl_find_object found{};
  if (::_dl_find_object(address, &found) != 0 || found.dlfo_link_map == nullptr) return StackNote::kMaxModules;
  const std::uint64_t base = found.dlfo_link_map->l_addr;
  for (std::size_t i = 0; i < modules; ++i) {
    if (note.modules[i].base == base) return i;
  }
  if (modules == StackNote::kMaxModules) return StackNote::kMaxModules;
  StackNote::Module& module = note.modules[modules];
  module.base = base;
  const char* const name = found.dlfo_link_map->l_name;
  const std::size_t length = std::min(std::strlen(name), module.name.size() - 1);
  std::memcpy(module.name.data(), name, length);
  module.name[length] = '\0';
  return modules++;
}

void note_stack(const void* context) noexcept {
  if (noted().status == nullptr || noted().pid != ::getpid()) return;
  WorkerStatus& status = *noted().status;
  const std::uint64_t call = status.begun.load();
  if (call == status.ended.load()) return;  // none is running
  StackNote& note = status.stack;
  note.call_id.store(0);
  std::array<void*, StackNote::kMaxFrames + 8> addresses;  // NOLINT(cppcoreguidelines-pro-type-member-init): written
  const int depth = ::backtrace(addresses.data(), static_cast<int>(addresses.size()));
  // Without the handler's own; where the unwinder could not get past it, the place itself.
  void** end = addresses.data() + std::max(depth, 0);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): it comes as a register
  auto* const place = reinterpret_cast<void*>(registers_of(context).program_counter);
  void** first = std::find(addresses.data(), end, place);
  if (first == end && place != nullptr) {
    first = addresses.data();
    *first = place;
    end = std::max(end, first + 1);
  }
  std::size_t frames = 0;
  std::size_t modules = 0;
  for (void** address = first; address != end && frames < StackNote::kMaxFrames; ++address) {
    note.frames[frames++] = {.address = reinterpret_cast<std::uintptr_t>(*address),
                             .module = note_module(note, *address, modules)};
  }
  note.depth = frames;
  note.call_id.store(call);
}

void handle_stack_signal(int /*signal*/, siginfo_t* /*info*/, void* context) {
  const int error = errno;
  note_stack(context);
  errno = error;
}

// The disposition is the default again: what faulted faults again when this returns, and kills; a signal that somebody
// sent is sent once more.
void handle_fatal_signal(int signal, siginfo_t* info, void* context) {
  note_stack(context);
  if (signal == SIGSEGV && info->si_code > 0 && noted().status != nullptr && noted().pid == ::getpid()) {
    const auto fault = reinterpret_cast<std::uintptr_t>(info->si_addr);
    const std::uintptr_t stack_pointer = registers_of(context).stack_pointer;
    if (fault - stack_pointer + kNearStackPointer < 2 * kNearStackPointer) noted().status->stack.stack_overflow = 1;
  }
  if (info->si_code <= 0 || signal == SIGXCPU || signal == SIGSYS) ::raise(signal);
}

// Without it, a stack that has overflowed has no room for a handler, and the signal kills at once.
void give_handlers_a_stack() noexcept {
  void* const memory =
      ::mmap(nullptr, kHandlerStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return;
  const stack_t stack{.ss_sp = memory, .ss_flags = 0, .ss_size = kHandlerStack};
  if (::sigaltstack(&stack, nullptr) != 0) ::munmap(memory, kHandlerStack);
}

void handle(int signal, void (*handler)(int, siginfo_t*, void*), int flags) noexcept {
  struct sigaction action{};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | flags;
  (void)::sigaction(signal, &action, nullptr);  // refused: the signal does as ever, and there is no stack to report
}

}  // namespace

void prepare_stack_notes() {
  std::array<void*, 1> warm_up{};
  ::backtrace(warm_up.data(), 1);
  give_handlers_a_stack();
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, SIGXCPU}) {
    handle(signal, handle_fatal_signal, static_cast<int>(SA_RESETHAND));
  }
  handle(kStackSignal, handle_stack_signal, SA_RESTART);
}

void note_stacks_in(WorkerStatus& status) noexcept { noted() = {.status = &status, .pid = ::getpid()}; }

}  // namespace leasepool::detail
