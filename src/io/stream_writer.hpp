// StreamWriter: one write at a time, made of as many operations as it takes.
//
// A socket's bytes go straight from the caller's memory, as its operation is over when it is cancelled; a file's from a
// copy. To a pipe they are written here, when it has room: the kernel's own operation would bring SIGPIPE.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.hpp"
#include "leasepool/detail/io_wait.hpp"
#include "leasepool/io.hpp"
#include "leasepool/stream.hpp"
#include "loop/deferred.hpp"
#include "loop/engine.hpp"

namespace leasepool::detail {

class StreamCore;

// Loop thread only. A part of its stream, which lives as long as its operations do.
class StreamWriter {
 public:
  explicit StreamWriter(StreamCore& stream) noexcept : stream_(stream) {}

  // Returns the number of the wait. Throws std::logic_error while there is one, std::bad_alloc.
  std::uint64_t write(Parts parts, IoOptions options, IoCallback<void> done);
  void cancel_wait(std::uint64_t wait) noexcept;
  // Whoever waits is told that it was cancelled.
  void close() noexcept;
  // The same, and no write follows.
  void shut_down() noexcept;
  [[nodiscard]] bool in_flight() const noexcept { return operation_ != 0; }

 private:
  struct Wait {
    std::uint64_t number = 0;
    Duration timeout{};
    TimePoint deadline{};
    IoCallback<void> done{};
    std::size_t next_part = 0;  // those before it were written
    std::size_t written = 0;    // bytes
    std::optional<Result<void>> result{};
  };
  static constexpr std::size_t kChunk = std::size_t{64} << 10;

  void go_on();
  void start_operation();
  OperationId start_on_socket(CompletionHandler handler);
  OperationId start_on_file(CompletionHandler handler);
  void completed(std::uint32_t number, Completion completion);
  void write_to_pipe();
  void advance(std::size_t written);
  void fail(int error, bool timed_out);
  void stop_operation() noexcept;
  void end(Result<void> result) noexcept;
  void deliver();
  [[nodiscard]] std::shared_ptr<StreamWriter> shared_from_stream() noexcept;

  StreamCore& stream_;
  std::optional<Wait> wait_;
  std::vector<iovec> parts_;  // that are left; the first may be written in part
  msghdr message_{};
  std::vector<std::byte> chunk_;  // a copy of what goes to a file
  OperationId operation_ = 0;
  std::uint32_t operations_ = 0;  // which of them is in flight: one that was reaped before is nobody's
  bool only_polls_ = false;
  bool was_cancelled_ = false;  // a part of a write may have been sent
  bool is_shut_down_ = false;
  DeferredMember<StreamWriter, &StreamWriter::deliver> delivery_;
};

}  // namespace leasepool::detail
