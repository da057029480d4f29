// Checks of our own invariants that stay on in every build: a broken one stops the program with a message.
#pragma once

#include <source_location>
#include <string_view>

namespace leasepool::detail {

[[noreturn]] void invariant_failed(std::string_view what, std::source_location where) noexcept;

// `what` says what should have held. Not assert(): a consumer may define NDEBUG.
inline void check(bool holds, std::string_view what,
                  std::source_location where = std::source_location::current()) noexcept {
  if (!holds) [[unlikely]] {
    invariant_failed(what, where);
  }
}

}  // namespace leasepool::detail
