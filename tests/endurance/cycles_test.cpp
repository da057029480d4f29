// Managers made and unmade, many times: memory, mappings and descriptors stay what they were.
#include <chrono>
#include <cstddef>
#include <leasepool/leasepool.hpp>
#include <string>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "memory_curve.hpp"
#include "support/long_run.hpp"
#include "support/sanitized.hpp"
#include "support/skip.hpp"

namespace lp = leasepool;
using namespace std::chrono_literals;
using leasepool::test::long_run;
using leasepool::test::MemoryCurve;

namespace {

constexpr int kSamples = 40;

struct Cycles {
  lp::ExecutorBackend backend;
  bool grinder;
  int count;
};

std::string name_of(const Cycles& cycles) {
  return std::to_string(cycles.count) + " managers on " +
         (cycles.backend == lp::ExecutorBackend::thread ? "threads" : "processes") +
         (cycles.grinder ? " with a grinder" : "");
}

lp::Task<> call(lp::LeasedExecutorManager& manager) {
  auto acquire = manager.acquire();
  const lp::ExecutorLease lease = co_await acquire;
  auto run = lease.run(endurance::add, 1U, 2U);
  if (co_await run != 3) throw std::logic_error("a wrong sum");
}

lp::Task<> grind(lp::LeasedExecutorManager& manager) {
  lp::WorkGrinder grinder(manager, {.batch_size_threshold = 8, .max_wait = 1ms});
  co_await grinder.start();
  std::vector<lp::Pending<std::uint64_t>> items;
  for (unsigned i = 0; i < 40; ++i) items.push_back(grinder.enqueue(endurance::add, i, 1U));
  for (unsigned i = 0; i < 40; ++i) {
    if (co_await items[i] != i + 1) throw std::logic_error("a wrong sum");
  }
  co_await grinder.stop();
}

lp::Task<> one_cycle(lp::Loop& loop, const Cycles& cycles) {
  lp::LeasedExecutorManager manager(loop, {.backend = cycles.backend, .max_pools = 2, .workers_per_pool = 2});
  co_await manager.start();
  co_await call(manager);
  if (cycles.grinder) co_await grind(manager);
  co_await manager.stop();
}

// The fork server of workers that start now.
lp::Task<int> fork_server(lp::Loop& loop) {
  lp::LeasedExecutorManager manager(loop,
                                    {.backend = lp::ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 1});
  co_await manager.start();
  auto acquire = manager.acquire();
  const lp::ExecutorLease lease = co_await acquire;
  auto run = lease.run(endurance::parent_process);
  co_return co_await run;
}

lp::Task<> run_cycles(lp::Loop& loop, const Cycles& cycles, MemoryCurve& curve) {
  for (int i = 0; i < cycles.count; ++i) {
    co_await one_cycle(loop, cycles);
    if ((i + 1) % (cycles.count / kSamples) == 0) curve.add(double(i + 1) / cycles.count);
  }
}

void check_cycles(const Cycles& cycles) {
  MemoryCurve curve(name_of(cycles));
  {
    lp::Loop loop;
    loop.block_on(run_cycles(loop, cycles, curve));
  }
  curve.print();
  CHECK(curve.growth() == "");
}

}  // namespace

TEST_CASE("managers that come and go leave no memory behind on threads", "[endurance][L6]") {
  if (leasepool::test::kSanitized) return leasepool::test::skip("a sanitizer keeps what is freed");
  check_cycles({.backend = lp::ExecutorBackend::thread, .grinder = false, .count = long_run() ? 12'000 : 600});
}

TEST_CASE("managers with a grinder that come and go leave no memory behind on threads", "[endurance][L6]") {
  if (leasepool::test::kSanitized) return leasepool::test::skip("a sanitizer keeps what is freed");
  check_cycles({.backend = lp::ExecutorBackend::thread, .grinder = true, .count = long_run() ? 12'000 : 400});
}

TEST_CASE("managers that come and go leave no memory behind on processes", "[endurance][L6]") {
  if (leasepool::test::kSanitized) return leasepool::test::skip("a sanitizer keeps what is freed");
  constexpr std::size_t kMiB = std::size_t{1} << 20U;
  lp::Loop loop;
  const int server = loop.block_on(fork_server(loop));
  const std::size_t before = leasepool::test::resident_of(server);
  check_cycles({.backend = lp::ExecutorBackend::process, .grinder = false, .count = long_run() ? 4'000 : 120});
  check_cycles({.backend = lp::ExecutorBackend::process, .grinder = true, .count = long_run() ? 4'000 : 80});
  REQUIRE(loop.block_on(fork_server(loop)) == server);
  CHECK(leasepool::test::resident_of(server) < before + kMiB);
}
