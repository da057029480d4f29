// Signals that are blocked where runs follow each other, so that none comes between two of them.
#include "interruption.hpp"

#include <pthread.h>

#include <initializer_list>

namespace lpbench {

namespace {

// As nohup(1) and a shell's background leave it.
bool is_ignored(int signal) {
  struct sigaction now{};
  return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

leasepool::SignalSet signals_of(leasepool::Loop& loop) {
  if (is_ignored(SIGINT)) return {loop, {SIGTERM}};
  return {loop, {SIGINT, SIGTERM}};
}

void mask(int how) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(how, &signals, nullptr);
}

}  // namespace

HeldSignals::HeldSignals() { mask(SIG_BLOCK); }
void HeldSignals::let_through() { mask(SIG_UNBLOCK); }

Interruption::Interruption(leasepool::Loop& loop) : signals_(signals_of(loop)) {
  signals_.next_async([](const leasepool::Result<int>& signal) {
    if (!signal) return;
    HeldSignals::let_through();
    throw Interrupted{*signal};
  });
}

}  // namespace lpbench
