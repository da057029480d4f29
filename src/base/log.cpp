// One write per line, so that lines of several threads do not mix, as long as there is memory for it. What a sink
// throws must not stop the work that it was told of: its line goes to stderr instead.
#include "base/log.hpp"

#include <cstdio>
#include <new>
#include <string>
#include <utility>

namespace leasepool {

namespace detail {

namespace {

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): log() has no argument to find them by
LogTarget* process_target = nullptr;
thread_local LogTarget* thread_target = nullptr;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

std::string_view prefix_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug: ";
    case LogLevel::info: return "";
    case LogLevel::warning: return "warning: ";
    case LogLevel::error: break;
  }
  return "error: ";
}

std::string text_of(const LogRecord& record) {
  std::string line = "leasepool: ";
  if (record.worker_id != 0) line = std::string(record.pool) + "[" + std::to_string(record.pid) + "]: ";
  const bool printed = record.source == LogSource::standard_output || record.source == LogSource::standard_error;
  return line.append(printed ? "" : prefix_of(record.level)).append(record.text).append("\n");
}

void write_to_stderr(const LogRecord& record) noexcept {
  try {
    const std::string line = text_of(record);
    std::fwrite(line.data(), 1, line.size(), stderr);
  } catch (const std::bad_alloc&) {
    std::fwrite(record.text.data(), 1, record.text.size(), stderr);
    std::fputc('\n', stderr);
  }
}

}  // namespace

void write_log(const LogSink& sink, const LogRecord& record) noexcept {
  if (sink) {
    try {
      return sink(record);
    } catch (...) {  // NOLINT(bugprone-empty-catch): a log that throws must not stop what it tells of
    }
  }
  if (record.level < (record.source == LogSource::manager ? LogLevel::warning : LogLevel::info)) return;
  write_to_stderr(record);
}

void set_process_log_target(LogTarget& target) noexcept { process_target = &target; }

ThreadLogTarget::ThreadLogTarget(LogTarget& target) noexcept : before_(std::exchange(thread_target, &target)) {}

ThreadLogTarget::~ThreadLogTarget() { thread_target = before_; }

}  // namespace detail

void log(LogLevel level, std::string_view text) noexcept {
  if (detail::LogTarget* const own = detail::thread_target; own != nullptr) return own->log(level, text);
  if (detail::process_target != nullptr) return detail::process_target->log(level, text);
  try {
    detail::for_each_line(text, [&](std::string_view line) {
      detail::write_log({}, {.time = {}, .level = level, .source = LogSource::log, .text = line});
    });
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for a line
  }
}

}  // namespace leasepool
