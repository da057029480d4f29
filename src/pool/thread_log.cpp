// Sending lines to the loop.
#include "pool/thread_log.hpp"

#include <chrono>
#include <utility>

namespace leasepool::detail {

void ThreadLogRoute::send(LogLevel level, std::string_view line, const Job& job) {
  if (on_their_way_.fetch_add(1) >= LogQueue::kMostLines) {
    --on_their_way_;
    ++dropped_;
    return;
  }
  inbox_->post([self = shared_from_this(), level, time = std::chrono::system_clock::now(), text = std::string(line),
                owner = std::string(job.booking.owner()), function = std::string(job.function_name())] {
    --self->on_their_way_;
    self->log_->count_dropped(self->dropped_.exchange(0), self->pool_);
    self->log_->push({.time = time,
                      .level = level,
                      .source = LogSource::log,
                      .text = text,
                      .pool = self->pool_,
                      .owner = owner,
                      .function = function});
  });
}

void ThreadLog::log(LogLevel level, std::string_view text) noexcept {
  try {
    for_each_line(text, [&](std::string_view line) { route_.send(level, line, job_); });
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for a line
  }
}

}  // namespace leasepool::detail
