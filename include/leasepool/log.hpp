// What a manager and its workers have to say: records, the sink that receives them, and log() for functions.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstdint>
#include <functional>
#include <string_view>

#include "leasepool/detail/export.hpp"
#include "leasepool/duration.hpp"

namespace leasepool {

enum class LogLevel { debug, info, warning, error };

/// Where a record comes from.
enum class LogSource {
  manager,          ///< the library itself
  standard_output,  ///< a line that a function printed in a worker process; level info
  standard_error,   ///< the same, on stderr; level warning
  log,              ///< leasepool::log() in a function, of either backend
};

/// One line. Its texts are valid while the sink runs.
struct LogRecord {
  /// When leasepool::log() was called, or the line was read that was printed.
  std::chrono::system_clock::time_point time{};
  LogLevel level = LogLevel::info;
  LogSource source = LogSource::manager;
  std::string_view text{};  ///< without the line's end
  /// The pool it belongs to, of a worker's record; the manager's name_prefix otherwise.
  std::string_view pool{};
  std::uint64_t worker_id = 0;  ///< 0: not of a worker process
  int pid = 0;                  ///< of the worker process
  /// Of the call that the worker ran, or had run last, when leasepool::log() was called; before its first, of its
  /// initializer, without an owner. Of a line that was printed, and of one that was logged more than 128 calls ago:
  /// when the line was read, which may be in a later call where calls are short.
  std::string_view owner{};
  std::string_view function{};
};

/// Receives what a manager and its workers have to say; called on the loop's thread. The records of each stream of a
/// worker process come in order: what it prints to stdout, and what it prints to stderr and logs, are two; which of
/// them comes first is not told. What it throws is dropped, and the line goes to stderr instead. Not called after the
/// manager's destructor: functions on threads that it abandoned log to stderr from then on.
using LogSink = std::function<void(const LogRecord&)>;

/// In a function that runs on a lease or initializes a worker: a line for the manager's log sink, or, where there is no
/// sink, for the program's stderr; elsewhere for stderr. Any thread. Lines that come faster than the loop takes them
/// are dropped and counted: nobody waits, but a worker process where there is no /proc. A text of several lines becomes
/// several records, and so does a line of more than 4,000 bytes. What a worker process prints by other means (printf,
/// std::cout) waits in a pipe, of 256 KiB where the system allows it: a function that prints more than that while the
/// loop is busy waits for the loop. What is printed without a line's end is joined by what is printed to the same
/// stream next, in a later call perhaps, and counts to that one's; log() ends it on stderr.
LEASEPOOL_EXPORT void log(LogLevel level, std::string_view text) noexcept;

}  // namespace leasepool

#endif
