// A remote manager and a node while one allocation fails, each of them in turn: every call and acquire has an outcome,
// nothing runs twice, and with memory again everything is there.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <vector>

#include "allocations/memory_gate.hpp"
#include "catch.hpp"
#include "sim_cluster.hpp"
#include "support/memory_pause.hpp"

namespace remote_without_memory {

using namespace std::chrono_literals;
using leasepool::ExecutorLease;
using leasepool::Result;
using leasepool::test::MemoryGate;
using leasepool::test::MemoryPause;
using leasepool::test::SimCluster;

std::map<std::uint64_t, int> runs;
std::uint64_t noted(std::uint64_t call) {
  const MemoryPause pause;
  ++runs[call];
  return call;
}

// What was asked, and how often it was answered.
struct Asked {
  int calls = 0;
  int answers = 0;
  std::uint64_t last = 0;
};

// Makes a call, which may fail at once.
void call(Asked& asked, const ExecutorLease& lease) {
  ++asked.calls;
  try {
    lease.run_async(noted, ++asked.last, [&asked](const Result<std::uint64_t>&) { ++asked.answers; });
  } catch (const std::bad_alloc&) {
    ++asked.answers;
  }
}

// An acquire, calls, an extension and the end of the lease. True where an allocation failed.
bool run(std::size_t failing) {
  runs.clear();
  Asked asked;
  Asked acquires;
  SimCluster cluster;
  const auto node = cluster.add_node("one", 2);
  const auto manager = cluster.add_manager("m");
  std::shared_ptr<SimCluster::Manager::Want> want;
  bool refused = false;
  {
    const MemoryGate gate(failing, MemoryGate::Fails::once);
    ++acquires.calls;
    try {
      want = manager->acquire("an owner whose name needs memory", 2s);
    } catch (const std::bad_alloc&) {
      ++acquires.answers;
    }
    cluster.advance(2s);
    if (want && want->got && !*want->got) CHECK(want->error().code() != leasepool::Errc::timed_out);
    if (want && want->has_lease()) {
      for (int i = 0; i < 6; ++i) call(asked, want->lease());
      cluster.advance(100ms);
      try {
        if (want->lease().active()) want->lease().extend(1min);
      } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it is not extended then
      }
      cluster.advance(100ms);
      want->lease().release();
    }
    cluster.advance(1s);
    refused = gate.refused();
  }
  cluster.advance(20s);
  CHECK(asked.answers == asked.calls);
  if (want) CHECK(want->got.has_value());
  for (const auto& [number, times] : runs) CHECK(times == 1);
  want.reset();
  cluster.advance(15s);
  CHECK(manager->manager->total() == 0);
  CHECK(node->manager->leased() == 0);
  const auto again = manager->acquire("again");
  cluster.advance(10s);
  REQUIRE(again->has_lease());
  const auto made = SimCluster::call(again->lease(), noted, 99);
  cluster.advance(1s);
  CHECK(made->has_value(99));
  return refused;
}

// A start, and another where that one failed. True where an allocation failed.
bool start(std::size_t failing) {
  SimCluster cluster;
  const auto node = cluster.add_node("one", 2);
  std::unique_ptr<SimCluster::Manager> manager;
  bool refused = false;
  {
    const MemoryGate gate(failing, MemoryGate::Fails::once);
    try {
      manager = cluster.add_manager("m");
      cluster.advance(30s);
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as it may be
    }
    refused = gate.refused();
  }
  if (!manager || !*manager->started) manager = cluster.add_manager("n");
  REQUIRE(manager->started.value());
  const auto want = manager->acquire("a", 2s);
  cluster.advance(2s);
  CHECK(want->has_lease());
  return refused;
}

}  // namespace remote_without_memory

LEASEPOOL_REGISTER(remote_without_memory::noted);

TEST_CASE("each allocation fails once: a remote manager and a node go on") {
  std::size_t failing = 1;
  for (;; ++failing) {
    INFO("where allocation " << failing << " fails");
    if (!remote_without_memory::run(failing)) break;
  }
  CHECK(failing > 100);
}

TEST_CASE("each allocation of a start fails once: a remote manager fails or starts, and leaves nothing behind") {
  std::size_t failing = 1;
  for (;; ++failing) {
    INFO("where allocation " << failing << " fails");
    if (!remote_without_memory::start(failing)) break;
  }
  CHECK(failing > 20);
}
