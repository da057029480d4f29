// The guardian: the process that was started becomes a small one that stops and continues the one that does the work,
// its child. So no shell sees the stops, and nobody has to continue what stands still.
#pragma once

#include <chrono>
#include <optional>

namespace lpbench::chaos {

// First in main(), before there are threads or other processes. In the guardian, once the child has ended: the exit
// code. In the child, which goes on: none.
std::optional<int> begin_guarded();

// In the child: is stopped a little later, for so long. False where there is no guardian, or it is busy.
bool have_this_process_stopped(std::chrono::milliseconds time);

}  // namespace lpbench::chaos
