// Watchdog: ends the program with a message when a test hangs.
#pragma once

#include <unistd.h>

#include <csignal>
#include <cstring>

namespace leasepool::test {

// For the time of its life; one at a time.
class Watchdog {
 public:
  explicit Watchdog(const char* hangs_when, unsigned limit_seconds = 100) {
    message() = hangs_when;
    ::signal(SIGALRM, &bark);
    ::alarm(limit_seconds);
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() {
    ::alarm(0);
    ::signal(SIGALRM, SIG_DFL);
  }

 private:
  static const char*& message() {
    static const char* text = "";
    return text;
  }
  static void bark(int) {
    constexpr char kPrefix[] = "\nwatchdog: the test hangs: ";
    (void)!::write(STDERR_FILENO, kPrefix, sizeof kPrefix - 1);
    (void)!::write(STDERR_FILENO, message(), std::strlen(message()));
    (void)!::write(STDERR_FILENO, "\n", 1);
    ::_exit(86);
  }
};

}  // namespace leasepool::test
