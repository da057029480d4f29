// What Ctrl-C and SIGTERM do to a series of runs: they end the run that is under way, at any of its steps.
#pragma once

#include <leasepool/loop.hpp>
#include <leasepool/signal_set.hpp>

#include <csignal>
#include <exception>

namespace lpbench {

// No std::exception: whoever deals with failures does not deal with this.
struct Interrupted {
  int signal = 0;
};

// Keeps both signals for the run that looks next. The second ends the program at once, as if nobody had looked.
class HeldSignals {
 public:
  HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  ~HeldSignals() { let_through(); }

  static void let_through();
};

// As long as it lives, run() and block_on() of the loop throw Interrupted when such a signal comes.
class Interruption {
 public:
  explicit Interruption(leasepool::Loop& loop);

 private:
  leasepool::SignalSet signals_;
};

}  // namespace lpbench
