// A manager that is started, for programs that measure: quiet about what they do on purpose.
#pragma once

#include <leasepool/leasepool.hpp>

#include <cstddef>

namespace figures {

inline leasepool::ManagerOptions manager_options(leasepool::ExecutorBackend backend, std::size_t pools,
                                                 std::size_t workers) {
  leasepool::ManagerOptions options;
  options.backend = backend;
  options.max_pools = pools;
  options.min_pools = pools;
  options.workers_per_pool = workers;
  options.log = [](const leasepool::LogRecord&) {};
  return options;
}

inline void start(leasepool::Loop& loop, leasepool::LeasedExecutorManager& manager) {
  const auto body = [&]() -> leasepool::Task<> { co_await manager.start(); };
  loop.block_on(body());
}

inline leasepool::ExecutorLease acquire(leasepool::Loop& loop, leasepool::LeasedExecutorManager& manager) {
  const auto body = [&]() -> leasepool::Task<leasepool::ExecutorLease> {
    co_return co_await manager.acquire({.owner = "bench", .lease_duration = leasepool::Duration::max()});
  };
  return loop.block_on(body());
}

inline constexpr const char* name_of(leasepool::ExecutorBackend backend) {
  return backend == leasepool::ExecutorBackend::thread ? "threads" : "processes";
}

}  // namespace figures
