// ThreadLog: leasepool::log() in a function that runs on a pool's thread. Its lines go through the loop's inbox to the
// manager's log.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/log.hpp"
#include "leasepool/detail/job.hpp"
#include "loop/inbox.hpp"
#include "pool/log_queue.hpp"

namespace leasepool::detail {

// The way from a pool's threads to its log. Shared by all that may use it; any thread.
class ThreadLogRoute : public std::enable_shared_from_this<ThreadLogRoute> {
 public:
  ThreadLogRoute(std::shared_ptr<Inbox> inbox, std::shared_ptr<LogQueue> log, std::string pool)
      : inbox_(std::move(inbox)), log_(std::move(log)), pool_(std::move(pool)) {}

  void send(LogLevel level, std::string_view line, const Job& job);

 private:
  const std::shared_ptr<Inbox> inbox_;
  const std::shared_ptr<LogQueue> log_;  // the loop's: here it is only handed on
  const std::string pool_;
  std::atomic<std::size_t> on_their_way_ = 0;
  std::atomic<std::uint64_t> dropped_ = 0;
};

// While a job runs. Its thread.
class ThreadLog final : public LogTarget {
 public:
  ThreadLog(ThreadLogRoute& route, const Job& job) : route_(route), job_(job) {}
  void log(LogLevel level, std::string_view text) noexcept override;

 private:
  ThreadLogRoute& route_;
  const Job& job_;
};

}  // namespace leasepool::detail
