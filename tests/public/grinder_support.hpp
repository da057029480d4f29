// What the grinder's tests share: a manager with a grinder on it, and answers by number.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support.hpp"

struct Bench {
  lp::Loop& loop;
  Manager& manager;
  lp::WorkGrinder& grinder;
};

struct BenchOptions {
  std::size_t max_pools = 1;
  std::size_t workers = 2;
  lp::Duration lease_grace = 15s;
  std::size_t max_queued_calls = 0;
  std::size_t max_waiters = 0;
  std::size_t max_payload = std::size_t{64} << 20;
};

// Runs `body(bench)` on a manager and a grinder that have started; stops both.
template <class Body>
void on_grinder(ExecutorBackend backend, const lp::GrinderOptions& options, Body body,
                BenchOptions bench_options = {}) {
  lp::ManagerOptions manager_options = options_for(backend, bench_options.max_pools, bench_options.workers);
  manager_options.lease_grace = bench_options.lease_grace;
  manager_options.max_queued_calls = bench_options.max_queued_calls;
  manager_options.max_waiters = bench_options.max_waiters;
  manager_options.max_payload = bench_options.max_payload;
  on_manager(manager_options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    lp::WorkGrinder grinder(manager, options);
    co_await grinder.start();
    Bench bench{loop, manager, grinder};
    co_await body(bench);
    open_gate();
    co_await grinder.stop();
  });
}

// Counts what callbacks are given.
struct Answers {
  std::size_t count = 0;
  std::size_t failed = 0;
  std::vector<Errc> codes;
  std::vector<std::string> messages;

  template <class T>
  void add(const lp::Result<T>& result) {
    ++count;
    if (result) return;
    ++failed;
    codes.push_back(static_cast<Errc>(result.error().code().value()));
    messages.push_back(result.error().message());
  }
  template <class T>
  auto taker() {
    return [this](const lp::Result<T>& result) { add(result); };
  }
};
