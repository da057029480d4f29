// LogQueue: records on their way to a manager's sink. In order, bounded, and handed over when the loop has nothing more
// urgent in hand; what finds it full, or no memory, is dropped, counted, and said.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "leasepool/log.hpp"
#include "loop/scheduler.hpp"

namespace leasepool::detail {

struct LogCounts {
  std::uint64_t lines = 0;  // handed to the sink
  std::uint64_t dropped = 0;
};

// Loop thread only.
class LogQueue : public std::enable_shared_from_this<LogQueue> {
 public:
  static constexpr std::size_t kMaxLines = 4096;
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20;

  // The scheduler outlives it, or has closed.
  LogQueue(Scheduler& scheduler, LogSink sink, std::shared_ptr<LogCounts> counts)
      : scheduler_(scheduler), sink_(std::move(sink)), counts_(std::move(counts)) {}

  // A record with texts of its own.
  struct Line {
    LogRecord record;
    std::string text;
    std::string pool;
    std::string owner;
    std::string function;
  };

  // For a text of that many bytes.
  [[nodiscard]] bool has_room(std::size_t size) const noexcept {
    return lines_.size() < kMaxLines && bytes_ + size <= kMaxBytes;
  }

  // Copies the record's texts.
  void push(const LogRecord& record) noexcept;
  void push(Line line) noexcept;

  // Lines that somebody else had to drop on their way to here.
  void count_dropped(std::uint64_t lines, std::string_view pool) noexcept;

  // Hands over what is queued, now.
  void deliver() noexcept;

 private:
  void schedule_delivery();
  void report_dropped(std::uint64_t dropped) noexcept;
  void hand_over(const Line& line) noexcept;

  Scheduler& scheduler_;
  const LogSink sink_;
  std::vector<Line> lines_;
  std::size_t bytes_ = 0;
  std::uint64_t dropped_ = 0;  // since it was last said
  std::string dropped_by_;
  bool scheduled_ = false;
  const std::shared_ptr<LogCounts> counts_;
};

}  // namespace leasepool::detail
