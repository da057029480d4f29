// Queueing, dropping and handing over.
#include "pool/log_queue.hpp"

#include <utility>

#include "base/log.hpp"

namespace leasepool::detail {

void LogQueue::push(const LogRecord& record) {
  if (!has_room(record.text.size())) return count_dropped(1, record.pool);
  bytes_ += record.text.size();
  lines_.push_back({.record = record,
                    .text = std::string(record.text),
                    .pool = std::string(record.pool),
                    .owner = std::string(record.owner),
                    .function = std::string(record.function)});
  schedule_delivery();
}

void LogQueue::count_dropped(std::uint64_t lines, std::string_view pool) {
  if (lines == 0) return;
  dropped_ += lines;
  counts_->dropped += lines;
  dropped_by_ = pool;
  schedule_delivery();
}

void LogQueue::schedule_delivery() {
  if (std::exchange(scheduled_, true)) return;
  scheduler_.report([self = shared_from_this()] { self->deliver(); });
}

void LogQueue::deliver() noexcept {
  scheduled_ = false;
  bytes_ = 0;
  const std::deque<Line> lines = std::exchange(lines_, {});
  for (const Line& line : lines) hand_over(line);
  if (const std::uint64_t dropped = std::exchange(dropped_, 0); dropped != 0) {
    const std::string text = dropped_by_ + ": " + std::to_string(dropped) +
                             " log lines were dropped: they came faster than the loop and its log sink take them";
    write_log(sink_, {.time = std::chrono::system_clock::now(), .level = LogLevel::warning, .text = text});
  }
}

void LogQueue::hand_over(const Line& line) noexcept {
  LogRecord record = line.record;
  record.text = line.text;
  record.pool = line.pool;
  record.owner = line.owner;
  record.function = line.function;
  ++counts_->lines;
  write_log(sink_, record);
}

}  // namespace leasepool::detail
