// Coroutines and futures on a real loop and real threads, with one allocation that fails: each of them in turn, on
// whatever thread. Every await and every future hears, and all works again afterwards.
#include <chrono>
#include <exception>
#include <future>
#include <new>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "leasepool/leasepool.hpp"
#include "memory_gate.hpp"
#include "support/memory_pause.hpp"

namespace coroutines_without_memory {

using namespace std::chrono_literals;
using leasepool::Loop;
using leasepool::Task;
using leasepool::test::MemoryGate;
using leasepool::test::MemoryPause;

int square(int x) { return x * x; }
std::vector<int> squares(std::vector<int> numbers) {
  for (int& number : numbers) number *= number;
  return numbers;
}

// What went well in a round, and the futures of it.
struct Round {
  int succeeded = 0;
  std::vector<std::future<int>> futures;
};
constexpr int kAll = 6;

Task<> use_leases(leasepool::LeasedExecutorManager& manager, Round& round) {
  auto lease = co_await manager.acquire({.owner = "an owner whose name needs memory", .timeout = 20s});
  auto first = lease.run(square, 2);
  auto second = lease.with({.timeout = 20s}).run(square, 3);
  const auto both = co_await leasepool::when_all(std::move(first), std::move(second));
  if (std::get<0>(both) == 4 && std::get<1>(both) == 9) ++round.succeeded;

  auto future = lease.submit(square, 5);
  {
    const MemoryPause pause;
    round.futures.push_back(std::move(future));
  }
  bool timed_out = false;
  try {
    auto late = lease.with({.timeout = 1ms}).run([](const std::stop_token& stop) {
      while (!stop.stop_requested()) std::this_thread::sleep_for(100us);
    });
    co_await late;
  } catch (const leasepool::LeasePoolError& error) {
    timed_out = error.code() == leasepool::Errc::timed_out;
  }
  if (timed_out) ++round.succeeded;

  std::stop_source stop = [] {
    const MemoryPause pause;
    return std::stop_source();
  }();
  stop.request_stop();
  bool cancelled = false;
  try {
    auto taken_back = lease.with(stop.get_token()).run(square, 7);
    co_await taken_back;
  } catch (const leasepool::LeasePoolError& error) {
    cancelled = error.code() == leasepool::Errc::cancelled;
  }
  if (cancelled) ++round.succeeded;
}

Task<> use_grinder(leasepool::WorkGrinder& grinder, Round& round) {
  co_await grinder.start();
  auto pending = grinder.enqueue(square, 4);
  auto item = grinder.submit(square, 5);
  const auto batch = grinder.batch(squares);
  auto of_batch = batch.enqueue(6);
  if (co_await item == 25) ++round.succeeded;
  if (co_await pending == 16) ++round.succeeded;
  if (co_await of_batch == 36) ++round.succeeded;
}

template <class Step>
Task<> whatever_comes(Step step) {
  try {
    co_await step();
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): what was thrown was heard
  }
}

Task<> run_round(leasepool::LeasedExecutorManager& manager, leasepool::WorkGrinder& grinder, Round& round) {
  auto start = [&] { return manager.start(); };
  auto leases = [&] { return use_leases(manager, round); };
  auto grind = [&] { return use_grinder(grinder, round); };
  auto stop_grinder = [&] { return grinder.stop(); };
  auto stop = [&] { return manager.stop(); };
  co_await whatever_comes(start);
  co_await whatever_comes(leases);
  co_await whatever_comes(grind);
  co_await whatever_comes(stop_grinder);
  co_await whatever_comes(stop);
}

// True if there was an allocation that failed.
bool fail(std::size_t failing) {
  Loop loop;
  leasepool::LeasedExecutorManager manager(
      loop, {.max_pools = 2, .workers_per_pool = 2, .log = [](const leasepool::LogRecord&) {}});
  leasepool::WorkGrinder grinder(manager, {.batch_size_threshold = 3, .max_wait = 1ms});
  Round round;
  bool failed = false;
  {
    const MemoryGate gate(failing, MemoryGate::Fails::once);
    try {
      loop.block_on(run_round(manager, grinder, round));
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): of the round's own coroutines
    }
    failed = gate.refused();
  }
  Round whole;
  loop.block_on(run_round(manager, grinder, whole));
  INFO("where allocation " << failing << " fails");
  CHECK(whole.succeeded == kAll);
  for (auto& future : round.futures) CHECK(future.wait_for(0s) == std::future_status::ready);
  if (!failed) CHECK(round.succeeded == kAll);
  return failed;
}

TEST_CASE("each allocation fails once: coroutines and futures on threads", "[L6][E4]") {
  std::size_t failing = 1;
  while (fail(failing)) ++failing;
  CHECK(failing > 50);
}

}  // namespace coroutines_without_memory
