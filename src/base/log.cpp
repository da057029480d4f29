// One write per line, so that lines of several threads do not mix. What a sink throws must not stop the work that it
// was told of: its line goes to stderr instead.
#include "base/log.hpp"

#include <cstdio>
#include <string>

namespace leasepool::detail {

void write_log(const LogSink& sink, LogLevel level, std::string_view text) {
  if (sink) {
    try {
      return sink(level, text);
    } catch (...) {  // NOLINT(bugprone-empty-catch): a log that throws must not stop what it tells of
    }
  }
  if (level < LogLevel::warning) return;
  const std::string line =
      std::string("leasepool: ") + (level == LogLevel::error ? "error: " : "warning: ") + std::string(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace leasepool::detail
