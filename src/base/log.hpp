// Where log lines go: the manager's sink, or stderr.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "leasepool/log.hpp"

namespace leasepool::detail {

// To the sink; without one to stderr: the library's own from warnings on, a worker's from info on.
void write_log(const LogSink& sink, const LogRecord& record) noexcept;

// A manager's sink for as long as there is the manager: what comes later, as from a function that outran it, goes to
// stderr. Loop thread only.
class ClosableSink {
 public:
  explicit ClosableSink(LogSink sink) : sink_(std::make_shared<const LogSink>(std::move(sink))) {}
  void write(const LogRecord& record) noexcept {
    const auto kept = sink_;  // it may close this
    write_log(kept ? *kept : LogSink(), record);
  }
  void close() noexcept { sink_.reset(); }

 private:
  std::shared_ptr<const LogSink> sink_;
};

// Calls `line` with each line of a text, without its end; an empty text is one line.
template <class LineHandler>
void for_each_line(std::string_view text, LineHandler line) {
  for (;;) {
    const std::size_t end = text.find('\n');
    line(text.substr(0, end));
    if (end == std::string_view::npos || end + 1 == text.size()) return;
    text.remove_prefix(end + 1);
  }
}

// Receives what leasepool::log() is given. Any thread.
class LogTarget {
 public:
  virtual void log(LogLevel level, std::string_view text) noexcept = 0;

 protected:
  ~LogTarget() = default;
};

// Of every thread of this process that has none of its own. Set once, before there are threads.
void set_process_log_target(LogTarget& target) noexcept;

// Of the thread that constructs it, for as long as it lives.
class ThreadLogTarget {
 public:
  explicit ThreadLogTarget(LogTarget& target) noexcept;
  ThreadLogTarget(const ThreadLogTarget&) = delete;
  ThreadLogTarget& operator=(const ThreadLogTarget&) = delete;
  ~ThreadLogTarget();

 private:
  LogTarget* const before_;
};

}  // namespace leasepool::detail
