// What a pool is made of.
#pragma once

namespace leasepool {

enum class ExecutorBackend { thread, process };

}  // namespace leasepool
