// Functions that worker processes run for the tests, and the memory that tests and workers share.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

namespace pool_functions {

// How a process may come to its end, or a function to an exception.
enum class End : int {
  exception,
  exit_0,
  exit_3,
  abort,
  bad_access,
  sigkill,
  stack_overflow,
  noexcept_throw,
  out_of_memory,       // more than there can be
  memory_limit,        // all that its worker may have, which is a lot where there is no limit
  memory_limit_fatal,  // the same, where no exception may be thrown
};

// What a process that is forked by a fork server does before anything else.
enum class AtFork : int { nothing, die, hang };

// The same memory in this program and in all processes that it forks. Zeros at first.
struct SharedPage {
  std::atomic<AtFork> at_fork;
  std::atomic<pid_t> forked;           // the last process that obeyed at_fork
  std::atomic<std::uint32_t> gate;     // hold() waits until this is not zero
  std::atomic<std::uint32_t> holding;  // how many hold() calls have begun
  std::atomic<pid_t> last_runner;      // the process in which count_run() or hold() began last
  std::atomic<std::uint32_t> runs[1U << 17U];
};
SharedPage& shared();

// Sets everything back to zeros.
void reset_shared();

// Whether this process is a worker.
bool in_worker();

// Ends the calling process, or throws std::runtime_error("thrown on purpose").
void end_by(End how);

// What a worker has set for its signals: those that crash report a stack, and so does SIGURG when it is asked for; its
// end it leaves to the program.
inline const std::vector<int> kHandledSignals{SIGHUP,  SIGINT,  SIGILL,  SIGTRAP, SIGABRT, SIGBUS, SIGFPE,
                                              SIGSEGV, SIGPIPE, SIGTERM, SIGURG,  SIGXCPU, SIGSYS};

std::int64_t add(std::int64_t a, std::int64_t b);
std::string echo(std::string text);
std::uint64_t length_of(const std::string& text);
std::string make_text(std::uint64_t length);
void nothing();
pid_t process_id();
pid_t parent_process_id();

// Runs end_by() in a worker; gives 1 where that returns.
int end_running(int how);

// Counts itself in shared().runs[index], works that many microseconds, gives the index.
std::uint32_t count_run(std::uint32_t index, std::uint32_t microseconds);

// Counts itself in shared().holding and waits for the gate; gives its process's id.
pid_t hold();

// Stops its own process until somebody sends SIGCONT.
void stop_itself();

// Exits at once, without any handler.
void exit_at_once(int code);

}  // namespace pool_functions
