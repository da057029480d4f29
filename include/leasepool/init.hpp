// init(): prepares a program for worker processes.
#pragma once

namespace leasepool {

/// Starts the fork server, the small single-threaded process from which worker processes are forked. Call it in the
/// first line of main(), before any thread exists and before the program daemonizes; what was loaded before it is
/// shared copy-on-write with every worker. Calling it again does nothing, nor does it in a worker. Programs that use
/// only thread pools need not call it. Throws std::system_error when no process can be made, and LeasePoolError when
/// the process already has more than one thread or two registered functions share an id.
void init();

}  // namespace leasepool
