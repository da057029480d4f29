// Writing and reading logged lines.
#include "shared/worker_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstdint>
#include <system_error>
#include <utility>

#include "base/log.hpp"
#include "base/unique_fd.hpp"

namespace leasepool::detail {

namespace {

using SystemTime = std::chrono::system_clock::time_point;

constexpr char kMark = '\x1e';           // ASCII's record separator: people do not print it
constexpr std::size_t kNumberSize = 16;  // in hexadecimal digits
constexpr std::size_t kMarkSize = 2 + 2 * kNumberSize;

char* write_number(char* to, std::uint64_t number) noexcept {
  for (std::size_t i = kNumberSize; i-- > 0; number >>= 4U) to[i] = "0123456789abcdef"[number & 0xfU];
  return to + kNumberSize;
}

std::optional<std::uint64_t> read_number(std::string_view digits) noexcept {
  std::uint64_t number = 0;
  const char* const begin = digits.data();
  const auto [end, error] = std::from_chars(begin, begin + kNumberSize, number, 16);
  if (error != std::errc() || end != begin + kNumberSize) return std::nullopt;
  return number;
}

std::uint64_t to_nanoseconds(SystemTime time) noexcept {
  return static_cast<std::uint64_t>(time.time_since_epoch() / std::chrono::nanoseconds(1));
}

SystemTime from_nanoseconds(std::uint64_t count) noexcept {
  const std::chrono::nanoseconds since_epoch(static_cast<std::int64_t>(count));
  return SystemTime(std::chrono::duration_cast<SystemTime::duration>(since_epoch));
}

// An opening of its own, so that it alone does not wait when there is no room. Without /proc it may have to wait.
UniqueFd open_standard_error() {
  UniqueFd own(::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  return own ? std::move(own) : duplicate_above_standard_streams(STDERR_FILENO);
}

// One write a line, of at most what a pipe takes whole or not at all: lines of several threads do not mix.
class ParentLog final : public LogTarget {
 public:
  ParentLog(UniqueFd standard_error, WorkerStatus& status)
      : standard_error_(std::move(standard_error)), status_(status) {}

  void log(LogLevel level, std::string_view text) noexcept override {
    const LogOrigin origin{.call_id = status_.begun.load(), .time = std::chrono::system_clock::now()};
    for_each_line(text, [&](std::string_view line) {
      do {
        const std::size_t size = std::min<std::size_t>(line.size(), PIPE_BUF - kMarkSize - 1);
        write(level, origin, line.substr(0, size));
        line.remove_prefix(size);
      } while (!line.empty());
    });
  }

 private:
  void write(LogLevel level, const LogOrigin& origin, std::string_view text) noexcept {
    std::array<char, PIPE_BUF> line;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled as far as it is used
    line[0] = kMark;
    line[1] = static_cast<char>('0' + static_cast<int>(level));
    char* end = write_number(line.data() + 2, origin.call_id);
    end = write_number(end, to_nanoseconds(origin.time));
    end = std::ranges::copy(text, end).out;
    *end++ = '\n';
    ssize_t written = 0;
    do {
      written = ::write(standard_error_.get(), line.data(), static_cast<std::size_t>(end - line.data()));
    } while (written < 0 && errno == EINTR);
    if (written < 0) status_.dropped_lines.fetch_add(1);
  }

  const UniqueFd standard_error_;
  WorkerStatus& status_;
};

}  // namespace

std::optional<LoggedLine> find_logged_line(std::string_view line) noexcept {
  for (std::size_t at = line.find(kMark); at != std::string_view::npos; at = line.find(kMark, at + 1)) {
    const std::string_view marked = line.substr(at);
    if (marked.size() < kMarkSize || marked[1] < '0' || marked[1] > '3') continue;
    const auto call_id = read_number(marked.substr(2));
    const auto time = read_number(marked.substr(2 + kNumberSize));
    if (!call_id || !time) continue;
    return LoggedLine{.before = line.substr(0, at),
                      .level = static_cast<LogLevel>(marked[1] - '0'),
                      .origin = {.call_id = *call_id, .time = from_nanoseconds(*time)},
                      .text = marked.substr(kMarkSize)};
  }
  return std::nullopt;
}

void log_to_parent(WorkerStatus& status) {
  static auto* const log =
      new ParentLog(open_standard_error(), status);  // never destroyed: the process may end anywhere
  set_process_log_target(*log);
}

}  // namespace leasepool::detail
