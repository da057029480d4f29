// Taking a worker's stack: where it crashes, or where it is when its parent asks.
#pragma once

#include "shared/status_page.hpp"

namespace leasepool::detail {

// In a worker, once: from now on a fatal signal notes the stack before it kills, stack overflow included, and
// kStackSignal notes it and goes on.
void note_stacks_in(WorkerStatus& status);

}  // namespace leasepool::detail
