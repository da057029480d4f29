// What a pool is made of.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

namespace leasepool {

/// Threads of this process, worker processes of this machine, or pools of nodes: other machines, through a NATS server.
enum class ExecutorBackend { thread, process, remote };

}  // namespace leasepool

#endif
