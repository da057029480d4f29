// Sets IORING_SQ_TASKRUN in this process's rings, as the kernel now and then leaves it when there is nothing behind it.
#pragma once

#include <liburing.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>

namespace leasepool::test {

// Gives how many rings there are.
inline std::size_t leave_taskrun_set() {
  io_uring other{};
  io_uring_params params{};
  if (io_uring_queue_init_params(1, &other, &params) != 0) return 0;
  const std::size_t at = params.sq_off.flags;  // the same for all
  io_uring_queue_exit(&other);
  std::size_t rings = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("[io_uring]") == std::string::npos || line.find(" 00000000 ") == std::string::npos) continue;
    auto* const ring = reinterpret_cast<std::byte*>(std::stoull(line, nullptr, 16));
    std::atomic_ref(*reinterpret_cast<std::uint32_t*>(ring + at)).fetch_or(IORING_SQ_TASKRUN);
    ++rings;
  }
  return rings;
}

}  // namespace leasepool::test
