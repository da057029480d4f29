// How leasepool::log() crosses from a worker to its parent: as a line on the worker's stderr that begins with a mark
// and the level; what was printed without a line's end stands before it. So it keeps its place among what the function
// prints, and what was logged before a crash is there.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

#include "leasepool/log.hpp"

namespace leasepool::detail {

struct LoggedLine {
  std::string_view before;  // the mark: what was printed
  LogLevel level;
  std::string_view text;
};

// In a line of a worker's stderr, what log() wrote.
std::optional<LoggedLine> find_logged_line(std::string_view line) noexcept;

// In a worker: log() writes to its stderr from now on, and counts in `dropped` what finds no room there.
void log_to_parent(std::atomic<std::uint64_t>& dropped);

}  // namespace leasepool::detail
