// Which build of its files this process runs, as their linker has noted it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace leasepool::detail {

// A hash of the build ids of the files in which the addresses lie, of the program's own where there are none; 0 where
// one of them has none.
[[nodiscard]] std::uint64_t build_of(std::span<const std::uintptr_t> addresses);

// As people read it.
[[nodiscard]] std::string build_text(std::uint64_t build);

}  // namespace leasepool::detail
