// BlockSignals: keeps the program's signals from a thread that is started.
#pragma once

#include <pthread.h>

#include <csignal>

namespace leasepool::detail {

// Signals are for the program's own threads: new threads inherit a share that has only what a thread brings on itself,
// as a crash that is blocked would pass the program's handlers by.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t most;
    sigfillset(&most);
    for (const int signal : {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS}) sigdelset(&most, signal);
    pthread_sigmask(SIG_SETMASK, &most, &before_);
  }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

}  // namespace leasepool::detail
