// How leasepool::log() crosses from a worker to its parent: as a line on the worker's stderr that begins with a mark,
// the level, the call's id and the time; what was printed without a line's end stands before it. So it keeps its place
// among what the function prints, and what was logged before a crash is there.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "leasepool/log.hpp"
#include "shared/status_page.hpp"

namespace leasepool::detail {

// When a line was logged, and in which call. What a worker says of it is to be checked.
struct LogOrigin {
  std::uint64_t call_id = 0;  // 0: of none
  std::chrono::system_clock::time_point time{};
};

struct LoggedLine {
  std::string_view before;  // the mark: what was printed
  LogLevel level;
  LogOrigin origin;
  std::string_view text;
};

// In a line of a worker's stderr, what log() wrote.
std::optional<LoggedLine> find_logged_line(std::string_view line) noexcept;

// In a worker: log() writes to its stderr from now on, as of the call that `status` says was begun last, and counts
// there what finds no room.
void log_to_parent(WorkerStatus& status);

}  // namespace leasepool::detail
