// WorkerOutput: what a worker process writes to its stdout and stderr, as lines, and the last of stderr for a report of
// its end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"
#include "leasepool/log.hpp"
#include "loop/loop_core.hpp"
#include "shared/worker_log.hpp"

namespace leasepool::detail {

// Bytes in, lines out. A line longer than the limit comes in pieces. Pure.
class LineSplitter {
 public:
  static constexpr std::size_t kMaxLine = 8192;
  using LineHandler = std::function<void(std::string_view)>;

  void feed(std::string_view bytes, const LineHandler& line);
  // The last line, when it has no end.
  void finish(const LineHandler& line);

 private:
  std::string partial_;
};

struct WorkerLine {
  LogSource source;
  LogLevel level;
  std::string_view text;
  LogOrigin origin{};  // of a logged line
};

// Loop thread only. Shared with its polls in flight.
class WorkerOutput : public std::enable_shared_from_this<WorkerOutput> {
 public:
  using LineHandler = std::function<void(const WorkerLine& line)>;

  // So much of one stream is taken in one turn of the loop: a worker that floods it must not keep the loop from all
  // else. What is left waits in the pipe, and so does its writer when that is full.
  static constexpr std::size_t kMaxLinesAtOnce = 256;
  static constexpr std::size_t kMaxBytesAtOnce = std::size_t{64} << 10;

  // `dropped` hears of lines that are not handed to `line`.
  WorkerOutput(LoopCore& loop, LineHandler line, std::function<void(std::uint64_t)> dropped)
      : loop_(loop), line_(std::move(line)), dropped_(std::move(dropped)) {}

  struct WorkerEnds {
    UniqueFd standard_output;
    UniqueFd standard_error;
  };
  // Makes the pipes and listens. Throws std::system_error.
  WorkerEnds open();

  // After the worker's death: takes what is still in the pipes, of each the last kMaxLinesAtOnce, and stops.
  void finish() noexcept;

  // Nobody is told anything any more.
  void detach() noexcept;

  // The last lines of stderr: at most 32 and 4 KiB.
  [[nodiscard]] std::string error_tail() const;

 private:
  struct Stream {
    LogSource source;
    UniqueFd pipe{};  // open as long as a poll is in flight on it, which keeps all of this
    OperationId poll = 0;
    TimerId next_turn = 0;  // when lines are left over for it
    std::string unread{};   // bytes that were read, and whose lines were too many for a turn
    bool ended = false;     // nobody writes to it any more
    LineSplitter splitter{};
  };

  void listen(Stream& stream);
  void readable(Stream& stream);
  bool take_some(Stream& stream);
  void drop(Stream& stream) noexcept;
  void read(Stream& stream, std::size_t most);
  void take_lines(Stream& stream);
  void take_last_lines(Stream& stream);
  void take(LogSource source, std::string_view text);
  void keep_in_tail(std::string_view line);

  LoopCore& loop_;
  LineHandler line_;
  std::function<void(std::uint64_t)> dropped_;
  std::array<Stream, 2> streams_{Stream{.source = LogSource::standard_output},
                                 Stream{.source = LogSource::standard_error}};
  std::deque<std::string> tail_;
  std::size_t tail_bytes_ = 0;
};

}  // namespace leasepool::detail
