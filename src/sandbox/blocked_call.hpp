// What a worker does about SIGSYS, which its sandbox's filter sends for some system calls: it notes the call where the
// parent reads it, and dies.
#pragma once

#include <atomic>
#include <cstdint>

namespace leasepool::detail {

// fstat() of a C library that makes it a newfstatat() of an empty path, which a filter cannot tell from a path: the
// signal's handler can, and makes the plain system call instead.
#if defined(__x86_64__) || defined(__aarch64__)
inline constexpr bool kStandsInForFstat = true;
#else
inline constexpr bool kStandsInForFstat = false;
#endif

struct BlockedCall {
  std::uint32_t architecture = 0;  // AUDIT_ARCH_*
  std::uint32_t number = 0;
};

// As one number; 0: none.
constexpr std::uint64_t pack(BlockedCall call) noexcept {
  return (std::uint64_t{call.architecture} << 32) | call.number;
}
constexpr BlockedCall unpack(std::uint64_t packed) noexcept {
  return {.architecture = static_cast<std::uint32_t>(packed >> 32), .number = static_cast<std::uint32_t>(packed)};
}

// Notes blocked calls in `note`, which stays, from now on. A handler of SIGSYS that was there before is called after
// it. False where the system refuses the handler, and then `errno` says why.
[[nodiscard]] bool note_blocked_calls(std::atomic<std::uint64_t>& note) noexcept;

}  // namespace leasepool::detail
