// Queueing, dropping and handing over.
#include "pool/log_queue.hpp"

#include <new>
#include <utility>

#include "base/log.hpp"

namespace leasepool::detail {

void LogQueue::push(const LogRecord& record) noexcept {
  if (!has_room(record.text.size())) return count_dropped(1, record.pool);
  try {
    push({.record = record,
          .text = std::string(record.text),
          .pool = std::string(record.pool),
          .owner = std::string(record.owner),
          .function = std::string(record.function)});
  } catch (const std::bad_alloc&) {
    count_dropped(1, record.pool);
  }
}

void LogQueue::push(Line line) noexcept {
  const std::size_t size = line.text.size();
  if (!has_room(size)) return count_dropped(1, line.pool);
  try {
    schedule_delivery();  // first, as a line that waits is one that will be handed over
    lines_.push_back(std::move(line));
    bytes_ += size;
  } catch (const std::bad_alloc&) {
    count_dropped(1, line.pool);
  }
}

void LogQueue::count_dropped(std::uint64_t lines, std::string_view pool) noexcept {
  if (lines == 0) return;
  dropped_ += lines;
  counts_->dropped += lines;
  try {
    schedule_delivery();
    dropped_by_ = pool;
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it is said with what comes next
  }
}

void LogQueue::schedule_delivery() {
  if (scheduled_) return;
  scheduler_.report([self = shared_from_this()] { self->deliver(); });
  scheduled_ = true;
}

void LogQueue::deliver() noexcept {
  scheduled_ = false;
  bytes_ = 0;
  const std::vector<Line> lines = std::exchange(lines_, {});
  for (const Line& line : lines) hand_over(line);
  if (const std::uint64_t dropped = std::exchange(dropped_, 0); dropped != 0) report_dropped(dropped);
}

void LogQueue::report_dropped(std::uint64_t dropped) noexcept {
  try {
    const std::string text = dropped_by_ + ": " + std::to_string(dropped) +
                             " log lines were dropped: they came faster than the loop and its log sink take them, or "
                             "there was no memory for them";
    write_log(sink_, {.time = std::chrono::system_clock::now(), .level = LogLevel::warning, .text = text});
  } catch (const std::bad_alloc&) {
    dropped_ += dropped;  // next time
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
