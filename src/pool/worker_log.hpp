// How leasepool::log() crosses from a worker to its parent: as a line on the worker's stderr that begins with a mark
// and the level. So it keeps its place among what the function prints, and what was logged before a crash is there.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

#include "leasepool/log.hpp"

namespace leasepool::detail {

struct LoggedLine {
  LogLevel level;
  std::string_view text;
};

// A line of a worker's stderr, when log() wrote it.
std::optional<LoggedLine> parse_logged_line(std::string_view line) noexcept;

// In a worker: log() writes to its stderr from now on, and counts in `dropped` what finds no room there.
void log_to_parent(std::atomic<std::uint64_t>& dropped);

}  // namespace leasepool::detail
