// init(): prepares a program for worker processes.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include "leasepool/detail/export.hpp"

namespace leasepool {

/// Starts the fork server, the small single-threaded process from which worker processes are forked. Call it in the
/// first line of main(), before any thread exists; what was loaded before it is shared copy-on-write with every worker.
/// The program may become a daemon afterwards, fork processes that use workers, or give up privileges, which workers
/// then do not have either. Calling it again does nothing, nor does it in a worker; where all descriptors were closed
/// in between, it starts the fork server once more. The fork server is not a child of the program. Programs that use
/// only thread pools need not call it. Throws std::system_error when no process can be made, and LeasePoolError when
/// the process already has more than one thread (which it names) or two registered functions share an id.
LEASEPOOL_EXPORT void init();

}  // namespace leasepool

#endif
