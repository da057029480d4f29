// Handlers of the signals by which broken invariants, std::terminate() and wild pointers end a program.
#include "where_it_ends.hpp"

#include <execinfo.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace faults {

namespace {

void show(int signal) {
  std::array<void*, 40> stack{};
  ::backtrace_symbols_fd(stack.data(), ::backtrace(stack.data(), stack.size()), STDERR_FILENO);
  ::raise(signal);  // the default comes when this returns
}

}  // namespace

void show_where_it_ends() noexcept {
  std::array<void*, 1> warm_up{};
  ::backtrace(warm_up.data(), 1);  // loads what it needs
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS}) {
    struct sigaction action = {};
    action.sa_handler = &show;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(signal, &action, nullptr);
  }
}

}  // namespace faults
