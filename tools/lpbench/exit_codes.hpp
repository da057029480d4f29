// Exit codes of lpbench.
#pragma once

namespace lpbench {

// All went as it should; it did not; the command line is wrong.
inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 1;
inline constexpr int kUsage = 2;
inline constexpr int kInterrupted = 128;  // and the signal's number, as a shell has it

}  // namespace lpbench
