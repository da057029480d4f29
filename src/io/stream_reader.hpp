// StreamReader: one read at a time, made of as many operations as it takes.
//
// A socket's bytes go straight into the caller's buffer, as its operation is over when it is cancelled. Of all else,
// and of what is read up to a delimiter, they go through a buffer of the reader's: such an operation may complete
// later, when nobody waits, and the next read gets what it has read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "leasepool/detail/io_wait.hpp"
#include "leasepool/io.hpp"
#include "loop/deferred.hpp"
#include "loop/engine.hpp"

namespace leasepool::detail {

class StreamCore;

// Loop thread only. A part of its stream, which lives as long as its operations do.
class StreamReader {
 public:
  enum class Goal : std::uint8_t { some, all, delimiter };

  explicit StreamReader(StreamCore& stream) noexcept : stream_(stream) {}

  // Returns the number of the wait. Throws std::logic_error while there is one, std::bad_alloc.
  std::uint64_t read(Goal goal, std::span<std::byte> into, std::string delimiter, IoOptions options,
                     IoCallback<std::size_t> done);
  void cancel_wait(std::uint64_t wait) noexcept;
  // Whoever waits is told that it was cancelled.
  void close() noexcept;
  [[nodiscard]] bool in_flight() const noexcept { return operation_ != 0; }

 private:
  struct Wait {
    std::uint64_t number = 0;
    Goal goal = Goal::some;
    std::span<std::byte> into{};
    std::string delimiter{};
    Duration timeout{};
    TimePoint deadline{};
    IoCallback<std::size_t> done{};
    std::size_t filled = 0;                       // of `into`
    std::optional<Result<std::size_t>> result{};  // on its way to `done`
  };
  static constexpr std::size_t kChunk = std::size_t{16} << 10;

  void go_on();
  [[nodiscard]] bool take_kept();
  [[nodiscard]] bool take_to_delimiter();
  void start_operation();
  void completed(std::uint32_t number, Completion completion);
  void polled(std::uint32_t number, Completion completion);
  void keep_chunk(int result) noexcept;
  void at_end();
  void fail(const Completion& completion);
  void keep(std::span<const std::byte> bytes, bool in_front) noexcept;
  void consume(std::size_t count) noexcept;
  [[nodiscard]] std::span<const std::byte> kept() const noexcept { return std::span(kept_).subspan(kept_from_); }
  [[nodiscard]] std::size_t transferred() const noexcept;
  void end(Result<std::size_t> result) noexcept;
  void deliver();
  [[nodiscard]] std::shared_ptr<StreamReader> shared_from_stream() noexcept;

  StreamCore& stream_;
  std::optional<Wait> wait_;
  OperationId operation_ = 0;
  std::uint32_t operations_ = 0;    // which of them is in flight: one that was reaped before is nobody's
  std::uint64_t operation_of_ = 0;  // for which wait it was started
  bool is_direct_ = false;          // into the caller's buffer
  std::vector<std::byte> chunk_;    // else
  std::vector<std::byte> kept_;     // what was read and not asked for yet
  std::size_t kept_from_ = 0;
  std::size_t searched_ = 0;  // of what is kept, without the delimiter in it
  bool lost_ = false;         // there was no memory to keep what was read
  DeferredMember<StreamReader, &StreamReader::deliver> delivery_;
};

}  // namespace leasepool::detail
