// ThreadLog: leasepool::log() in a function that runs on a pool's thread. Its lines wait for the loop, which fetches
// them into the manager's log.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

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

  // What finds too many that wait, or no memory, is dropped and counted.
  void send(LogLevel level, std::string_view line, const Job& job) noexcept;

  // The loop's thread: gives the log what waits, and the count of what was dropped.
  void fetch() noexcept;

 private:
  void ask_for_fetch();

  const std::shared_ptr<Inbox> inbox_;
  const std::shared_ptr<LogQueue> log_;  // the loop's
  const std::string pool_;
  std::atomic<bool> something_waits_ = false;
  std::mutex mutex_;
  std::vector<LogQueue::Line> lines_;  // under the mutex, as the rest
  std::uint64_t dropped_ = 0;
  bool fetch_asked_ = false;
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
