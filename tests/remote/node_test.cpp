// A node with real worker processes, and a manager that a test plays, on a server in memory.
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "lease/manager_core.hpp"
#include "leasepool/detail/serialize.hpp"
#include "loop/loop_core.hpp"
#include "nats/memory_bus.hpp"
#include "remote/failure.hpp"
#include "remote/node_core.hpp"
#include "remote/played_manager.hpp"
#include "remote/subjects.hpp"
#include "remote/wants.hpp"
#include "shared/exception_codec.hpp"
#include "shared/registry.hpp"
#include "support/with_manager.hpp"

namespace remote_node {

using namespace std::chrono_literals;
using namespace leasepool;
using namespace leasepool::detail;
using namespace leasepool::detail::remote;

std::uint64_t twice(std::uint64_t value) { return 2 * value; }
std::uint64_t throws(std::uint64_t value) { throw std::out_of_range("no " + std::to_string(value)); }
std::uint64_t dies(std::uint64_t) {
  ::raise(SIGKILL);
  return 0;
}
std::uint64_t sleeps(std::uint64_t milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}

constexpr std::uint64_t kNode = 0x1234567890abcdef;

using Tester = test::PlayedManager;

Task<> until(Loop& loop, auto holds) {
  for (int i = 0; i < 100'000 && !holds(); ++i) co_await loop.sleep(200us);
  REQUIRE(holds());
}

struct Stage {
  Loop& loop;
  LeasedExecutorManager& manager;
  nats::MemoryServer& server;
  NodeCore& node;
  nats::MemoryBus& node_bus;
  Tester& tester;
  nats::MemoryBus& tester_bus;
};

// Runs `body(stage)` on a node with one pool of two worker processes, to which a manager is connected.
template <class Body>
void on_node(Body body, ExecutorBackend backend = ExecutorBackend::process, Duration manager_timeout = 10s) {
  Loop loop;
  ManagerOptions options;
  options.backend = backend;
  options.max_pools = 1;
  options.workers_per_pool = 2;
  options.log = [](const LogRecord&) {};
  const auto run = [&](LeasedExecutorManager& manager) -> Task<> {
    const auto core = Access::core(loop);
    nats::MemoryServer server(*core);
    const auto node = std::make_shared<NodeCore>(
        core, Access::core(manager), NodeOptions{.name = "here", .manager_timeout = manager_timeout}, kNode);
    const auto node_bus = server.connect("node", *node);
    node->attach(*node_bus);
    node->lend();
    Tester tester;
    tester.node = kNode;
    tester.node_subject = node->address();
    const auto tester_bus = server.connect("tester", tester);
    tester.attach(*tester_bus);
    co_await until(loop, [&] { return tester.connected && node_bus->state() == nats::BusState::connected; });
    Stage stage{loop, manager, server, *node, *node_bus, tester, *tester_bus};
    co_await body(stage);
    node->close();
    node_bus->close();
    tester_bus->close();
  };
  loop.block_on(test::with_manager(loop, options, run));
}

Task<> get_lease(Stage& stage, Duration hard_expiry = 1min) {
  Tester& tester = stage.tester;
  tester.want();
  co_await until(stage.loop, [&] { return tester.offer != 0; });
  tester.take_it(hard_expiry);
  co_await until(stage.loop, [&] { return tester.granted; });
}

std::uint64_t id_of(const char* name) { return function_id(name); }

}  // namespace remote_node

LEASEPOOL_REGISTER(remote_node::twice);
LEASEPOOL_REGISTER(remote_node::throws);
LEASEPOOL_REGISTER(remote_node::dies);
LEASEPOOL_REGISTER(remote_node::sleeps);

TEST_CASE("N1: a node lends its pool, runs calls, and has it back", "[remote][N1]") {
  using namespace remote_node;
  const auto backend = GENERATE(ExecutorBackend::thread, ExecutorBackend::process);
  const auto body = [](Stage& stage) -> Task<> {
    Tester& tester = stage.tester;
    co_await get_lease(stage);
    CHECK(stage.manager.leased_count() == 1);
    for (std::uint64_t i = 0; i < 100; ++i) (void)tester.call(id_of("remote_node::twice"), i);
    co_await until(stage.loop, [&] { return tester.outcomes.size() == 100; });
    std::uint64_t sum = 0;
    for (const Tester::Outcome& outcome : tester.outcomes) sum += tester.number_in(outcome);
    CHECK(sum == 9900);

    const std::uint64_t call = tester.call(id_of("remote_node::throws"), 7);
    co_await until(stage.loop, [&] { return tester.outcomes.size() == 101; });
    const Tester::Outcome& thrown = tester.outcomes.back();
    CHECK(thrown.head.call == call);
    REQUIRE(thrown.head.kind == OutcomeKind::exception);
    CHECK_THROWS_AS(decode_exception("throws", thrown.bytes).raise(), std::out_of_range);

    (void)tester.call(12345, 7);
    co_await until(stage.loop, [&] { return tester.outcomes.size() == 102; });
    const Tester::Outcome& unknown = tester.outcomes.back();
    CHECK(get_failure(unknown.bytes).code() == Errc::unregistered_function);
    CHECK_FALSE(unknown.head.may_have_run);

    tester.end_lease();
    co_await until(stage.loop, [&] { return tester.lease->finished() && stage.manager.leased_count() == 0; });
    CHECK(stage.node.leases() == 0);
  };
  on_node(body, backend);
}

TEST_CASE("N1: an offer that got lost is made again when its manager says again what it wants", "[remote][N1]") {
  using namespace remote_node;
  on_node([](Stage& stage) -> Task<> {
    stage.tester.want();
    co_await until(stage.loop, [&] { return stage.tester.offer != 0; });
    stage.tester.offer = 0;  // as if it had not come
    co_await get_lease(stage);
    stage.tester.end_lease();
    co_await until(stage.loop, [&] { return stage.tester.lease->finished() && stage.node.leases() == 0; });
  });
}

TEST_CASE("N3: a worker that crashes fails the call that it ran", "[remote][N3]") {
  using namespace remote_node;
  on_node([](Stage& stage) -> Task<> {
    Tester& tester = stage.tester;
    co_await get_lease(stage);
    (void)tester.call(id_of("remote_node::dies"), 1);
    (void)tester.call(id_of("remote_node::twice"), 21);
    co_await until(stage.loop, [&] { return tester.outcomes.size() == 2; });
    for (const Tester::Outcome& outcome : tester.outcomes) {
      if (outcome.head.kind == OutcomeKind::value) {
        CHECK(tester.number_in(outcome) == 42);
      } else {
        CHECK(get_failure(outcome.bytes).code() == Errc::worker_crashed);
        CHECK(outcome.head.may_have_run);
      }
    }
  });
}

TEST_CASE("N5: a node kills at its own hard expiry, and says of each call whether it may have run", "[remote][N5]") {
  using namespace remote_node;
  on_node([](Stage& stage) -> Task<> {
    Tester& tester = stage.tester;
    co_await get_lease(stage, 100ms);
    for (int i = 0; i < 3; ++i) (void)tester.call(id_of("remote_node::sleeps"), 100'000);
    co_await until(stage.loop, [&] { return tester.closed.has_value(); });
    CHECK(tester.closed == CloseReason::expired);
    REQUIRE(tester.outcomes.size() == 3);
    int not_run = 0;
    for (const Tester::Outcome& outcome : tester.outcomes) not_run += outcome.head.may_have_run ? 0 : 1;
    CHECK(not_run == 1);  // for which there was no worker
    co_await until(stage.loop, [&] { return stage.manager.leased_count() == 0 && stage.node.leases() == 0; });
  });
}

TEST_CASE("N3: a manager that is not heard any more has ended: what it had is killed", "[remote][N3]") {
  using namespace remote_node;
  const auto body = [](Stage& stage) -> Task<> {
    Tester& tester = stage.tester;
    co_await get_lease(stage);
    (void)tester.call(id_of("remote_node::sleeps"), 100'000);
    stage.tester_bus.set_cut_off(true);
    co_await until(stage.loop, [&] { return stage.node.leases() == 0 && stage.manager.leased_count() == 0; });
    CHECK(tester.outcomes.empty());
  };
  on_node(body, ExecutorBackend::process, 300ms);
}

TEST_CASE("N1: a call is taken back, a lease extended, and a pool goes to the next who wants it", "[remote][N1]") {
  using namespace remote_node;
  on_node([](Stage& stage) -> Task<> {
    Tester& tester = stage.tester;
    tester.want();
    co_await until(stage.loop, [&] { return tester.offer == 1; });
    tester.say_to_node({.type = FrameType::decline, .lease = Tester::kLease, .number = 1});
    co_await until(stage.loop, [&] { return stage.node.offers().on_offer() == 0; });
    tester.want();
    co_await until(stage.loop, [&] { return tester.offer == 2; });
    co_await until(stage.loop,
                   [&] { return stage.node.offers().on_offer() == 0; });  // it was held, and is not any more
    tester.want();
    co_await until(stage.loop, [&] { return tester.offer == 3; });
    tester.take_it(300ms);
    co_await until(stage.loop, [&] { return tester.granted; });
    tester.lease->extend({.until_soft = 1h});
    for (int i = 0; i < 3; ++i) (void)tester.call(id_of("remote_node::sleeps"), 100'000);
    co_await until(stage.loop, [&] { return tester.extended; });
    tester.lease->cancel(2);  // runs
    tester.lease->cancel(4);  // waits
    tester.flush();
    co_await until(stage.loop, [&] { return tester.outcomes.size() == 2; });
    for (const Tester::Outcome& outcome : tester.outcomes) {
      CHECK(get_failure(outcome.bytes).code() == Errc::cancelled);
      CHECK(outcome.head.may_have_run == (outcome.head.call == 2));
    }
    co_await stage.loop.sleep(400ms);  // past the first expiry
    CHECK_FALSE(tester.closed.has_value());
    CHECK(stage.node.leases() == 1);
  });
}

TEST_CASE("N4: calls and outcomes outlive a server that restarts", "[remote][N4]") {
  using namespace remote_node;
  on_node([](Stage& stage) -> Task<> {
    Tester& tester = stage.tester;
    co_await get_lease(stage);
    (void)tester.call(id_of("remote_node::sleeps"), 50);
    (void)tester.call(id_of("remote_node::twice"), 4);
    co_await until(stage.loop, [&] { return tester.outcomes.size() == 1; });
    stage.server.set_down();
    co_await until(stage.loop, [&] { return !tester.connected; });
    co_await stage.loop.sleep(100ms);  // in which the first call ends
    stage.server.set_up();
    co_await until(stage.loop, [&] { return tester.connected; });
    tester.lease->send_again();
    tester.flush();
    co_await until(stage.loop, [&] { return tester.outcomes.size() == 2; });
    (void)tester.call(id_of("remote_node::twice"), 5);
    co_await until(stage.loop, [&] { return tester.outcomes.size() == 3; });
    CHECK(tester.number_in(tester.outcomes[2]) == 10);
  });
}

TEST_CASE("N6: a node that drains offers nothing, and is done when its last lease is", "[remote][N6]") {
  using namespace remote_node;
  on_node([](Stage& stage) -> Task<> {
    Tester& tester = stage.tester;
    co_await get_lease(stage);
    bool drained = false;
    stage.node.drain([&] { drained = true; });
    (void)tester.call(id_of("remote_node::twice"), 4);
    co_await until(stage.loop, [&] { return tester.outcomes.size() == 1; });
    CHECK_FALSE(drained);
    tester.end_lease();
    co_await until(stage.loop, [&] { return drained; });
    tester.offer = 0;
    tester.want();
    co_await until(stage.loop, [&] { return tester.nobody_listened == 1; });
    CHECK(tester.offer == 0);
    CHECK(stage.node.offers().wants() == 0);
  });
}

TEST_CASE("N7: a node offers nothing to who wants another build", "[remote][N7]") {
  using namespace remote_node;
  on_node([](Stage& stage) -> Task<> {
    Tester& tester = stage.tester;
    const std::uint64_t build = functions_build();
    CHECK(build != 0);
    tester.want(build + 1, 99);  // else the only pool would be offered to this one
    tester.want(build);
    co_await until(stage.loop, [&] { return tester.offer != 0; });
    CHECK(stage.node.offers().on_offer() == 1);
    CHECK(stage.node.offers().wants() == 0);
  });
}

TEST_CASE("N8: what is not for a node, or breaks the protocol, is dropped and counted, or ends the lease",
          "[remote][N8]") {
  using namespace remote_node;
  on_node([](Stage& stage) -> Task<> {
    Tester& tester = stage.tester;
    CHECK(tester.bus->publish(tester.node_subject, std::as_bytes(std::span("GET /"))) == nats::Published::taken);
    MessageWriter elsewhere(99, kNode);
    elsewhere.add({.type = FrameType::marks, .lease = 1});
    CHECK(tester.bus->publish(tester.node_subject, elsewhere.bytes(), "lp.v1.default.n.other") ==
          nats::Published::taken);
    co_await until(stage.loop, [&] { return stage.node.refused_messages() == 2; });
    tester.say_to_node({.type = FrameType::take, .lease = Tester::kLease, .number = 9}, [] {
      Bytes body;
      put(body, TakeBody{});
      return body;
    }());
    co_await until(stage.loop, [&] { return tester.refused; });
    CHECK(stage.node.leases() == 0);

    co_await get_lease(stage);
    tester.say_to_node({.type = FrameType::outcome, .lease = Tester::kLease, .number = 1});
    co_await until(stage.loop, [&] { return tester.closed.has_value(); });
    CHECK(tester.closed == CloseReason::refused);
    co_await until(stage.loop, [&] { return stage.manager.leased_count() == 0; });
  });
}
