// Taking a worker's stack: where it crashes, or where it is when its parent asks.
#pragma once

#include "shared/status_page.hpp"

namespace leasepool::detail {

// In the fork server, once, for all that it forks: loads what takes a stack, and sets the handlers. Where nothing is to
// be noted, a fatal signal kills as ever, and kStackSignal does nothing.
void prepare_stack_notes();

// In a worker, once: from now on a fatal signal notes the stack before it kills, stack overflow included, and
// kStackSignal notes it and goes on.
void note_stacks_in(WorkerStatus& status) noexcept;

}  // namespace leasepool::detail
