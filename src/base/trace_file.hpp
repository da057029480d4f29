// TraceFile: events of a Chrome trace, as an array of JSON, in a file that a thread of its own writes. After each write
// the array is closed, and the next one begins over that end: whenever the program is gone, the file can be opened.
#pragma once

#include <sys/types.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "base/background_thread.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/error.hpp"
#include "leasepool/trace_options.hpp"

namespace leasepool::detail {

// A line of the picture: that of a group, or one below it. Of 0 there is none.
struct TraceRow {
  std::uint32_t group = 0;
  std::uint32_t row = 0;
};

// What is told of an event beside its name.
struct TraceArgument {
  TraceArgument(std::string_view its_key, std::string_view its_text) noexcept : key(its_key), text(its_text) {}
  TraceArgument(std::string_view its_key, std::unsigned_integral auto its_number) noexcept
      : key(its_key), number(its_number), is_number(true) {}

  std::string_view key;
  std::string_view text{};
  std::uint64_t number = 0;
  bool is_number = false;
};
using TraceArguments = std::initializer_list<TraceArgument>;

class TraceWriter;

// One thread. What does not fit is dropped and counted: where the disk does not keep up, or there is no memory.
class TraceFile {
 public:
  static constexpr std::size_t kLeastBytes = std::size_t{64} << 10;

  // `problem` is told once, inside a call, why the rest is lost. Throws std::bad_alloc.
  using Problem = std::function<void(const std::string& what)>;
  [[nodiscard]] static Result<std::shared_ptr<TraceFile>> open(const TraceOptions& options, TimePoint now,
                                                               Problem problem);
  TraceFile(std::shared_ptr<TraceWriter> writer, const TraceOptions& options, TimePoint now, Problem problem);
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;
  ~TraceFile() { close(); }

  // Times are not before the one at which it was opened.
  [[nodiscard]] TraceRow add_group(std::string_view name) noexcept;
  [[nodiscard]] TraceRow add_row(TraceRow group, std::string_view name) noexcept;
  // Of what begins and ends apart from rows.
  [[nodiscard]] std::uint64_t new_id() noexcept { return ++last_id_; }

  void span(TraceRow row, std::string_view name, TimePoint from, TimePoint to, TraceArguments arguments) noexcept {
    put({.phase = 'X', .category = "call", .name = name, .row = row, .at = from, .until = to}, arguments);
  }
  void begin(TraceRow row, std::string_view name, TimePoint at, TraceArguments arguments) noexcept {
    put({.phase = 'B', .category = "life", .name = name, .row = row, .at = at}, arguments);
  }
  void end(TraceRow row, TimePoint at, TraceArguments arguments) noexcept {
    put({.phase = 'E', .category = "life", .name = {}, .row = row, .at = at}, arguments);
  }
  void instant(TraceRow row, std::string_view name, TimePoint at, TraceArguments arguments) noexcept {
    put({.phase = 'i', .category = "event", .name = name, .row = row, .at = at}, arguments);
  }
  // Apart from what is on the row; by an id that is one of a kind in its category.
  struct Async {
    std::string_view category;
    std::uint64_t id;
  };
  void begin(Async what, TraceRow row, std::string_view name, TimePoint at, TraceArguments arguments) noexcept {
    put({.phase = 'b', .category = what.category, .name = name, .row = row, .at = at, .id = what.id}, arguments);
  }
  void end(Async what, TraceRow row, std::string_view name, TimePoint at, TraceArguments arguments) noexcept {
    put({.phase = 'e', .category = what.category, .name = name, .row = row, .at = at, .id = what.id}, arguments);
  }

  // Nothing is added any more. Waits until what was is written, but not for a disk that hangs.
  void close() noexcept;

 private:
  struct Event {
    char phase;
    std::string_view category;
    std::string_view name;
    TraceRow row;
    TimePoint at;
    TimePoint until{};
    std::uint64_t id = 0;
  };

  void put(const Event& event, TraceArguments arguments) noexcept;
  void name_row(std::string_view kind, TraceRow row, std::string_view name) noexcept;
  void format(const Event& event, TraceArguments arguments);
  void accept() noexcept;
  void hand_over() noexcept;
  [[nodiscard]] bool has_failed() noexcept;

  const std::shared_ptr<TraceWriter> writer_;
  const std::string path_;
  const std::size_t max_bytes_;
  const TimePoint opened_at_;
  const pid_t process_;
  Problem problem_;
  std::string event_;          // being made
  TimePoint last_at_;          // the time of the last one
  std::size_t accepted_ = 0;   // bytes
  std::uint64_t dropped_ = 0;  // events since one was accepted
  std::uint32_t last_row_ = 0;
  std::uint64_t last_id_ = 0;
  bool ended_ = false;
  BackgroundThread thread_;
};

}  // namespace leasepool::detail
