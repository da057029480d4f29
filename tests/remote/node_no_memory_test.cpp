// A node while one allocation fails, each of them in turn: its start and its stop answer all the same, nothing leaves
// the loop, and when there is memory again it starts.
#include <leasepool/leasepool.hpp>

#include <cstddef>
#include <new>
#include <optional>
#include <string>

#include "allocations/memory_gate.hpp"
#include "catch.hpp"
#include "nats/bus_client.hpp"
#include "nats/nats_server.hpp"

namespace node_without_memory {

using namespace leasepool;
using test::MemoryGate;
using test::run_until;

ManagerOptions local() {
  ManagerOptions options{.max_pools = 1, .workers_per_pool = 1};
  options.log = [](const LogRecord&) {};
  return options;
}

// Whether an allocation was refused while `begin`, which stops the loop, was under way.
template <class Begin>
bool with_failing(Loop& loop, std::size_t failing, Begin begin) {
  bool begun = false;
  bool left_the_loop = false;
  const MemoryGate gate(failing, MemoryGate::Fails::once);
  try {
    begin();
    begun = true;
    loop.run();
  } catch (const std::bad_alloc&) {
    left_the_loop = begun;
  }
  const bool refused = gate.refused();
  CHECK_FALSE(left_the_loop);
  return refused;
}

TEST_CASE("each allocation fails once: a node starts and stops all the same, or says that it does not") {
  if (!test::has_nats_server()) return;
  const test::NatsServer server;
  int failed_starts = 0;
  bool start_refused = true;
  bool stop_refused = true;
  for (std::size_t failing = 1; start_refused || stop_refused; ++failing) {
    INFO("where allocation " << failing << " fails");
    Loop loop;
    Node node(loop, RemoteOptions{.servers = server.url()}, local());
    std::optional<Result<void>> started;
    const auto start = [&] {
      started.reset();
      node.start_async([&](const Result<void>& result) {
        started = result;
        loop.stop();
      });
    };
    start_refused = with_failing(loop, failing, start);
    if (!started || !started->has_value()) {
      ++failed_starts;
      REQUIRE((!started || started->error().code() == std::errc::not_enough_memory ||
               started->error().code() == Errc::pool_broken));
      start();
      REQUIRE(run_until(loop, [&] { return started.has_value(); }));
      INFO((started->has_value() ? "" : started->error().message()));
      REQUIRE(started->has_value());
    }
    CHECK(node.stats().state == NodeState::running);

    std::optional<Result<void>> stopped;
    const auto stop = [&] {
      node.stop_async([&](const Result<void>& result) {
        stopped = result;
        loop.stop();
      });
    };
    stop_refused = with_failing(loop, failing, stop);
    if (!stopped) {
      stop();
      REQUIRE(run_until(loop, [&] { return stopped.has_value(); }));
    }
    CHECK(stopped->has_value());
    CHECK(node.stats().state == NodeState::stopped);
  }
  CHECK(failed_starts > 0);
}

}  // namespace node_without_memory
