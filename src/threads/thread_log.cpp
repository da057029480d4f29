// Sending lines to the loop.
#include "threads/thread_log.hpp"

#include <chrono>
#include <new>
#include <utility>

namespace leasepool::detail {

void ThreadLogRoute::send(LogLevel level, std::string_view line, const Job& job) noexcept {
  const auto now = std::chrono::system_clock::now();
  const std::lock_guard lock(mutex_);
  something_waits_ = true;
  if (lines_.size() >= LogQueue::kMaxLines) return void(++dropped_);
  try {
    ask_for_fetch();  // first, as a line that waits is one that will be fetched
    lines_.push_back({.record = {.time = now, .level = level, .source = LogSource::log},
                      .text = std::string(line),
                      .pool = pool_,
                      .owner = std::string(job.state.owner()),
                      .function = std::string(job.function_name())});
  } catch (const std::bad_alloc&) {
    ++dropped_;
  }
}

void ThreadLogRoute::ask_for_fetch() {
  if (fetch_asked_) return;
  inbox_->post([self = shared_from_this()] { self->fetch(); });
  fetch_asked_ = true;
}

void ThreadLogRoute::fetch() noexcept {
  if (!something_waits_) return;
  std::unique_lock lock(mutex_);
  something_waits_ = false;
  std::vector<LogQueue::Line> lines = std::exchange(lines_, {});
  const std::uint64_t dropped = std::exchange(dropped_, 0);
  fetch_asked_ = false;
  lock.unlock();
  log_->count_dropped(dropped, pool_);
  for (LogQueue::Line& line : lines) log_->push(std::move(line));
}

void ThreadLog::log(LogLevel level, std::string_view text) noexcept {
  for_each_line(text, [&](std::string_view line) { route_.send(level, line, job_); });
}

}  // namespace leasepool::detail
