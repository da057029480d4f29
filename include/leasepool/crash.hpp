// What is known of a worker process that died in a call, and of where a call was that had to be ended.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "leasepool/detail/export.hpp"
#include "leasepool/duration.hpp"

namespace leasepool {

/// One function of a stack.
struct StackFrame {
  std::uint64_t address = 0;
  /// The file of the program or library it belongs to, and where in it: what addr2line(1) takes.
  std::string module{};
  std::uint64_t offset = 0;
  /// Empty where the file has no symbol for it.
  std::string function{};
};

/// Functions that were running, the innermost first. Empty: not known.
using StackTrace = std::vector<StackFrame>;

/// How a worker process ended, and what it was doing.
struct WorkerCrash {
  /// One of these two, or neither when nobody is left who could tell.
  std::optional<int> signal{};
  std::optional<int> exit_code{};
  /// It asked for more memory than its limit or the system had, and did not live on.
  bool out_of_memory = false;
  bool stack_overflow = false;

  std::string function{};
  std::uint64_t call_id = 0;
  std::string owner{};
  /// From the start of the call to the news of the end.
  Duration ran_for{};

  std::uint64_t worker_id = 0;
  int pid = 0;
  /// Of the whole life of the process; zeros when nobody is left who could tell.
  Duration user_time{};
  Duration system_time{};
  std::uint64_t max_resident_bytes = 0;

  /// The last lines that it wrote to stderr or logged: at most 32, and 4 KiB.
  std::string stderr_tail{};
  /// Where it crashed; where it was at its lease's soft expiry or late in its time-out, if SIGKILL ended it after that.
  StackTrace stack{};
};

/// One line a frame: number, function, module and offset.
LEASEPOOL_EXPORT std::string to_text(const StackTrace& stack);

/// A readable report of several lines.
LEASEPOOL_EXPORT std::string to_text(const WorkerCrash& crash);

}  // namespace leasepool

#endif
