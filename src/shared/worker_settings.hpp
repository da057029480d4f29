// WorkerSettings: what a worker process is told when it is forked. Crosses the control socket as it is.
#pragma once

#include <cstdint>
#include <type_traits>

#include "leasepool/sandbox.hpp"

namespace leasepool::detail {

// No call of a caller's has this id.
inline constexpr std::uint64_t kInitializerCall = UINT64_MAX;

struct WorkerSettings {
  static constexpr std::uint64_t kNoLimit = UINT64_MAX;

  std::uint64_t max_payload = 0;
  std::uint64_t memory = kNoLimit;  // bytes of address space
  std::uint64_t cpu_seconds_per_call = kNoLimit;
  std::uint64_t open_files = kNoLimit;
  std::uint64_t core_size = kNoLimit;  // bytes
  std::int32_t niceness = 0;
  std::int32_t reports_memory = 0;  // whether to note its resident memory after each call
  std::uint64_t spin = 0;           // nanoseconds to look for the next call before sleeping, at most
  Sandbox::Profile sandbox = Sandbox::Profile::none;
  std::uint16_t best_effort = 0;     // whether to go without what the sandbox lacks here
  std::uint16_t memory_bounded = 0;  // whether its cgroup bounds its memory, so that the address space need not be
};
static_assert(std::is_trivially_copyable_v<WorkerSettings>);

}  // namespace leasepool::detail
