// Calls through a real NATS server: a remote manager, and a node with worker processes.
#include <fcntl.h>
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "nats/bus_client.hpp"
#include "remote_pair.hpp"

namespace end_to_end {

using namespace std::chrono_literals;
using namespace leasepool;

std::uint64_t twice(std::uint64_t value) { return 2 * value; }
std::string reversed(std::string text) { return {text.rbegin(), text.rend()}; }
std::uint64_t throws(std::uint64_t value) { throw std::out_of_range("no " + std::to_string(value)); }
std::uint64_t dies(std::uint64_t /*value*/) {
  ::raise(SIGSEGV);
  return 0;
}
std::uint64_t sleeps(std::uint64_t milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}
std::uint64_t takes_fd(Fd fd) { return static_cast<std::uint64_t>(fd.get()); }
Fd gives_fd() { return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

// Runs body(loop, node, manager) between the starts and the ends of a node and of a remote manager.
template <class Body>
void on_pair(Body body, ManagerOptions of_node = test::node_options(), ManagerOptions of_manager = {}) {
  if (!test::has_nats_server()) return;
  const test::NatsServer server;
  Loop loop({.engine = GENERATE(LoopEngine::io_uring, LoopEngine::epoll)});
  if (of_manager.max_pools == 0) of_manager = test::remote_options("");
  of_manager.remote.servers = server.url();
  const auto run = [&]() -> Task<> {
    test::TestNode node(loop, server.url(), of_node, "here", 7);
    auto node_start = node.start();
    co_await node_start;
    LeasedExecutorManager manager(loop, of_manager);
    auto start = manager.start();
    co_await start;
    auto running = body(loop, node, manager);
    co_await running;
    auto stop = manager.stop();
    co_await stop;
    auto returned = test::until_holds(loop, [&] { return node.manager().leased_count() == 0; });
    co_await returned;
    node.close();
    auto node_stop = node.manager().stop();
    co_await node_stop;
  };
  loop.block_on(run());
}

}  // namespace end_to_end

LEASEPOOL_REGISTER(end_to_end::twice);
LEASEPOOL_REGISTER(end_to_end::reversed);
LEASEPOOL_REGISTER(end_to_end::throws);
LEASEPOOL_REGISTER(end_to_end::dies);
LEASEPOOL_REGISTER(end_to_end::sleeps);
LEASEPOOL_REGISTER(end_to_end::takes_fd);
LEASEPOOL_REGISTER(end_to_end::gives_fd);

TEST_CASE("N1: calls go to a node and back, by await and by callback", "[remote][N1]") {
  using namespace end_to_end;
  on_pair([](Loop& loop, test::TestNode& node, LeasedExecutorManager& manager) -> Task<> {
    auto acquire = manager.acquire({.owner = "tester"});
    ExecutorLease lease = co_await acquire;
    CHECK(node.manager().leased_count() == 1);
    auto call = lease.run(twice, 21);
    const std::uint64_t value = co_await call;
    CHECK(value == 42);
    int ended = 0;
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
      lease.run_async(twice, i, [&](Result<std::uint64_t> result) {
        ++ended;
        sum += result ? *result : 0;
      });
    }
    auto all = test::until_holds(loop, [&] { return ended == 1000; });
    co_await all;
    CHECK(sum == 999'000);
    auto large = lease.run(reversed, std::string(3'000'000, 'a') + "b");
    const std::string text = co_await large;
    CHECK(text == "b" + std::string(3'000'000, 'a'));
    auto owner = test::until_holds(loop, [&] {
      const ManagerStats stats = node.manager().stats();
      return stats.leases.size() == 1 && stats.leases.front().owner == "tester";
    });
    co_await owner;
    lease.release();
    auto released = test::until_holds(loop, [&] { return node.manager().leased_count() == 0; });
    co_await released;
    CHECK(manager.total_count() == 0);
  });
}

TEST_CASE("N1: what a function throws, a crash, a time-out and a refused argument come back as they do from processes",
          "[remote][N1]") {
  using namespace end_to_end;
  on_pair(
      [](Loop& loop, test::TestNode& node, LeasedExecutorManager& manager) -> Task<> {
        auto acquire = manager.acquire({.owner = "tester"});
        ExecutorLease lease = co_await acquire;
        const auto outcome = [&](auto verbs, auto function, auto argument) -> Task<Result<std::uint64_t>> {
          std::optional<Result<std::uint64_t>> got;
          verbs.run_async(function, argument, [&](Result<std::uint64_t> result) { got.emplace(std::move(result)); });
          auto waits = test::until_holds(loop, [&] { return got.has_value(); });
          co_await waits;
          co_return std::move(*got);
        };
        auto throwing = lease.run(throws, 7);
        std::string thrown;
        try {
          (void)co_await throwing;
        } catch (const std::out_of_range& error) {
          thrown = error.what();
        }
        CHECK(thrown == "no 7");

        auto crashing = outcome(lease.with(CallOptions{}), dies, 1);
        const Result<std::uint64_t> crashed = co_await crashing;
        REQUIRE_FALSE(crashed.has_value());
        CHECK(crashed.error().code() == Errc::worker_crashed);
        CHECK(crashed.error().may_have_run());
        CHECK_THAT(crashed.error().message(), ContainsSubstring("on remote: node here: "));
        REQUIRE(crashed.error().crash() != nullptr);
        CHECK(crashed.error().crash()->signal == SIGSEGV);
        CHECK(crashed.error().crash()->function == "end_to_end::dies");

        auto bounded = outcome(lease.with({.timeout = 50ms}), sleeps, 100'000);
        const Result<std::uint64_t> late = co_await bounded;
        REQUIRE_FALSE(late.has_value());
        CHECK(late.error().code() == Errc::timed_out);
        CHECK(late.error().may_have_run());

        std::optional<Error> refused;
        lease.run_async(takes_fd, Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)),
                        [&](Result<std::uint64_t> result) { refused = result.error(); });
        auto refusal = test::until_holds(loop, [&] { return refused.has_value(); });
        co_await refusal;
        CHECK(refused->code() == Errc::not_serializable);
        CHECK_FALSE(refused->may_have_run());
        CHECK_THAT(refused->message(), ContainsSubstring("backend = remote: the arguments of end_to_end::takes_fd have "
                                                         "descriptors"));

        std::optional<Error> too_large;
        lease.run_async(reversed, std::string(5'000'000, 'a'),
                        [&](Result<std::string> result) { too_large = result.error(); });
        auto size = test::until_holds(loop, [&] { return too_large.has_value(); });
        co_await size;
        CHECK(too_large->code() == Errc::payload_too_large);
        CHECK_FALSE(too_large->may_have_run());

        // The smaller of both workers_per_pool: two of these run, and the third waits.
        for (int i = 0; i < 3; ++i) lease.run_async(sleeps, 100'000, [](const Result<std::uint64_t>&) {});
        auto running = test::until_holds(loop, [&] { return manager.stats().leases.front().calls_running == 2; });
        co_await running;
        CHECK(node.manager().stats().leases.front().calls_running == 2);
        CHECK(manager.stats().leases.front().calls_queued == 1);
      },
      [] {
        ManagerOptions options = test::node_options();
        options.max_payload = std::size_t{4} << 20;
        return options;
      }());
}

TEST_CASE("N4, N2: a server that is killed and comes back costs nothing but time", "[remote][N4][N2]") {
  using namespace end_to_end;
  if (!test::has_nats_server()) return;
  test::NatsServer server;
  Loop loop;
  const auto run = [&]() -> Task<> {
    test::TestNode node(loop, server.url(), test::node_options(), "here", 7);
    auto node_start = node.start();
    co_await node_start;
    LeasedExecutorManager manager(loop, test::remote_options(server.url()));
    auto start = manager.start();
    co_await start;
    auto acquire = manager.acquire({.owner = "tester"});
    ExecutorLease lease = co_await acquire;
    std::uint64_t sum = 0;
    int ended = 0;
    int failed = 0;
    for (std::uint64_t i = 0; i < 3000; ++i) {
      lease.run_async(twice, i, [&](const Result<std::uint64_t>& result) {
        ++ended;
        sum += result ? *result : 0;
        failed += result ? 0 : 1;
      });
      if (i % 1000 == 500) {
        server.kill();
        auto pause = loop.sleep(20ms);
        co_await pause;
        server.start();
      }
    }
    auto all = test::until_holds(loop, [&] { return ended == 3000; });
    co_await all;
    CHECK(failed == 0);
    CHECK(sum == 8'997'000);
    CHECK(lease.active());
    lease.release();
    auto stop = manager.stop();
    co_await stop;
    node.close();
    auto node_stop = node.manager().stop();
    co_await node_stop;
  };
  loop.block_on(run());
}

TEST_CASE("N1: without a server a start fails with its address and the reason", "[remote][N1]") {
  using namespace end_to_end;
  Loop loop;
  ManagerOptions options = test::remote_options("nats://127.0.0.1:1");
  options.worker_start_timeout = 300ms;
  const auto run = [&]() -> Task<> {
    LeasedExecutorManager manager(loop, options);
    std::string message;
    auto start = manager.start();
    try {
      co_await start;
    } catch (const LeasePoolError& error) {
      CHECK(error.code() == Errc::pool_broken);
      message = error.what();
    }
    CHECK_THAT(message, ContainsSubstring("no connection to a NATS server of RemoteOptions::servers = "
                                          "\"nats://127.0.0.1:1\" within worker_start_timeout = 300 ms: NATS server "
                                          "nats://127.0.0.1:1: "));
    CHECK_THAT(message, ContainsSubstring("Connection refused"));
  };
  loop.block_on(run());
}

TEST_CASE("N1: a result with a descriptor does not go to another machine: its call has run, and says so",
          "[remote][N1][N9]") {
  using namespace end_to_end;
  on_pair([](Loop& loop, test::TestNode& /*node*/, LeasedExecutorManager& manager) -> Task<> {
    auto acquire = manager.acquire({.owner = "tester"});
    ExecutorLease lease = co_await acquire;
    std::optional<Error> failed;
    lease.run_async(gives_fd, [&](const Result<Fd>& result) {
      REQUIRE_FALSE(result.has_value());
      failed = result.error();
    });
    auto failure = test::until_holds(loop, [&] { return failed.has_value(); });
    co_await failure;
    CHECK(failed->code() == Errc::bad_payload);
    CHECK(failed->may_have_run());
    CHECK_THAT(failed->message(), ContainsSubstring("the result of end_to_end::gives_fd has descriptors"));
    auto after = lease.run(twice, std::uint64_t{21});
    const std::uint64_t result = co_await after;
    CHECK(result == 42);
  });
}
