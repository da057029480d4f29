// How many cores the machine has.
#pragma once

#include <algorithm>
#include <cstddef>
#include <thread>

namespace lpbench {

inline constexpr std::size_t kMaxWorkers = 1024;

// The default number of workers.
inline std::size_t core_count() { return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, kMaxWorkers); }

}  // namespace lpbench
