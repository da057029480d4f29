// The guardian: the process that was started becomes a small one that stops and continues others, also the one that
// does the work, its child. So no shell sees that, and nobody who stands still has to continue what does, too.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>

namespace lpbench::chaos {

// First in main(), before there are threads or other processes. In the guardian, once the child has ended: the exit
// code. In the child, which goes on: none.
std::optional<int> begin_guarded();

// In the child: has a process, this one or one below it, stopped a little later and continued after so long, whatever
// this one does meanwhile. False where there is no guardian, or it is busy.
bool have_stopped(pid_t process, std::chrono::milliseconds time);

}  // namespace lpbench::chaos
