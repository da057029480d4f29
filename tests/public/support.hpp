// What the contract's tests share: functions that both backends can run, gates that hold them where a test wants them,
// and failures as values.
#pragma once

#include <leasepool/leasepool.hpp>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <stop_token>
#include <string>
#include <type_traits>

#include "catch.hpp"
#include "support/with_manager.hpp"

namespace lp = leasepool;
using lp::Errc;
using lp::ExecutorBackend;
using Manager = lp::LeasedExecutorManager;
using leasepool::test::with_manager;
using namespace std::chrono_literals;

// Memory that worker processes share with the tests: mapped before the fork server starts.
struct SharedCounters {
  std::atomic<int> entered;  // calls of pass_gate that have begun
  std::atomic<int> left;     // ... that have ended
  std::atomic<bool> open;    // lets them end
  std::atomic<int> inside;   // running now
  std::atomic<int> most_inside;
};
SharedCounters& shared();
void close_gate();
void open_gate();

std::uint64_t square(std::uint64_t x);
std::string join(const std::string& left, std::string right);
void nothing();
std::unique_ptr<int> boxed(int value);
int throw_out_of_range(const std::string& what);
int throw_own_type(int value);
int pass_gate(int value);                   // waits until the gate is open; counts itself
std::string text_past_gate(int size);       // the same, with so long a result
bool wait_for_stop(std::stop_token token);  // until a stop is requested, or the gate is open
int die_by_signal(int signal);

// Who runs a call.
int process_id();
int thread_id();  // of a worker process: the process's

// The code of what an awaitable throws; none if it does not throw.
template <class A>
lp::Task<std::optional<Errc>> failure_of(A awaitable) {
  std::optional<Errc> code;
  try {
    co_await awaitable;
  } catch (const lp::LeasePoolError& error) {
    code = static_cast<Errc>(error.code().value());
  }
  co_return code;
}

// What it says.
template <class A>
lp::Task<std::string> message_of(A awaitable) {
  std::string message;
  try {
    co_await awaitable;
  } catch (const std::exception& error) {
    message = error.what();
  }
  co_return message;
}

// Runs a task up to where it waits, as one that awaits it does: with Clang by what its await_suspend() returns, with
// GCC within that.
template <class T>
void begin(T& task) {
  if constexpr (requires { task.await_suspend(std::noop_coroutine()).resume(); }) {
    task.await_suspend(std::noop_coroutine()).resume();
  } else {
    (void)task.await_suspend(std::noop_coroutine());
  }
}

// Until `holds()`. Fails the test where only a broken one, or a broken library, lets it wait for so long.
template <class Predicate>
lp::Task<> until(lp::Loop& loop, Predicate holds, std::source_location where = std::source_location::current()) {
  constexpr auto kPatience = 120s;
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() >= give_up) {
      FAIL(where.file_name() << ":" << where.line() << ": what is waited for has not come within " << kPatience.count()
                             << " s");
    }
    co_await loop.sleep(200us);
  }
}

// Until so many calls stand in the gate.
lp::Task<> until_entered(lp::Loop& loop, int count, std::source_location where = std::source_location::current());

inline auto both_backends() { return GENERATE(ExecutorBackend::thread, ExecutorBackend::process); }

// Runs a test's coroutine `body(loop, backend)`.
template <class Body>
void on_loop(ExecutorBackend backend, Body body) {
  CAPTURE(backend == ExecutorBackend::thread ? "thread" : "process");
  close_gate();
  lp::Loop loop;
  loop.block_on(body(loop, backend));
  open_gate();
}

inline lp::ManagerOptions options_for(ExecutorBackend backend, std::size_t max_pools = 1, std::size_t workers = 2) {
  lp::ManagerOptions options;
  options.backend = backend;
  options.max_pools = max_pools;
  options.workers_per_pool = workers;
  options.name_prefix = "test";
  options.log = [](const lp::LogRecord&) {};
  return options;
}

// Runs a test's coroutine `body(loop, manager)`, or `body(manager)`, on a manager that has started; stops it.
template <class Body>
void on_manager(const lp::ManagerOptions& options, Body body) {
  on_loop(options.backend, [&](lp::Loop& loop, ExecutorBackend) {
    return with_manager(loop, options, [&](Manager& manager) {
      if constexpr (std::is_invocable_v<Body&, Manager&>) {
        return body(manager);
      } else {
        return body(loop, manager);
      }
    });
  });
}
