// with_manager(): a manager that has started, for as long as a test's coroutine runs.
#pragma once

#include <leasepool/loop.hpp>
#include <leasepool/manager.hpp>
#include <leasepool/options.hpp>
#include <leasepool/task.hpp>
#include <utility>

namespace leasepool::test {

// Runs `body(manager)` between the manager's start and its stop. What the stop answers may still refer to the body, but
// no longer to what the body's coroutine owns.
template <class Body>
Task<> with_manager(Loop& loop, ManagerOptions options, Body body) {
  LeasedExecutorManager manager(loop, std::move(options));
  co_await manager.start();
  co_await body(manager);
  co_await manager.stop();
}

}  // namespace leasepool::test
