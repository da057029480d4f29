// The life of a node on a virtual clock: a server in memory, imaginary workers, and a manager that the test plays.
#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

#include "catch.hpp"
#include "leasepool/detail/registry.hpp"
#include "leasepool/node_stats.hpp"
#include "remote/failure.hpp"
#include "remote/node_service.hpp"
#include "remote/sim_node.hpp"

namespace node_service {

using namespace std::chrono_literals;
using namespace leasepool;
using detail::remote::CloseReason;
using detail::remote::ProblemLog;
using test::PlayedManager;

std::uint64_t works(std::uint64_t value) { return value; }

using Stage = test::SimNode;

}  // namespace node_service

LEASEPOOL_REGISTER(node_service::works);

TEST_CASE("N6: a node that starts says what its server is wrong with, leaves nothing, and can start again",
          "[remote][N6]") {
  using namespace node_service;
  Stage stage;
  stage.server.set_down();
  stage.start();
  stage.scheduler->advance(2900ms);
  CHECK_FALSE(stage.started.has_value());
  stage.scheduler->advance(200ms);
  REQUIRE(stage.started.has_value());
  REQUIRE_FALSE(stage.started->has_value());
  CHECK(stage.started->error().code() == Errc::pool_broken);
  CHECK(stage.started->error().message() ==
        "node here: no server has taken it in within worker_start_timeout = 3 s: node: no server answers");
  CHECK(stage.state() == NodeState::stopped);
  CHECK(stage.manager->total() == 0);
  CHECK(stage.scheduler->nothing_comes());
  CHECK(stage.lines_with("no server answers") == 1);  // for many attempts

  stage.server.set_up();
  stage.started.reset();
  stage.start_and_lease();
  CHECK(stage.state() == NodeState::running);
  CHECK(stage.node->stats().leases.size() == 1);
}

TEST_CASE("N6: a node that is stopped while it starts has its start fail", "[remote][N6]") {
  using namespace node_service;
  Stage stage;
  stage.world.next_start_delay = [] { return Duration(1s); };
  const bool server_is_there = GENERATE(false, true);
  if (!server_is_there) stage.server.set_down();
  stage.start();
  stage.scheduler->advance(500ms);
  CHECK(stage.state() == NodeState::starting);
  stage.stop();
  stage.scheduler->advance(5s);
  REQUIRE(stage.started.has_value());
  REQUIRE_FALSE(stage.started->has_value());
  CHECK(stage.started->error().code() == Errc::cancelled);
  REQUIRE(stage.stopped.has_value());
  CHECK(stage.scheduler->nothing_comes());
}

TEST_CASE("N6: workers that cannot be made fail the start of a node", "[remote][N6]") {
  using namespace node_service;
  Stage stage;
  stage.world.next_start_fails = [] { return true; };
  stage.start();
  stage.scheduler->advance(1s);
  REQUIRE(stage.started.has_value());
  REQUIRE_FALSE(stage.started->has_value());
  CHECK(stage.started->error().message() == "simulated");
  CHECK(stage.state() == NodeState::stopped);
  CHECK(stage.node_bus->state() == detail::nats::BusState::closed);
}

TEST_CASE("N6: a node drains: it lends no more, and stops when its last lease has ended", "[remote][N6]") {
  using namespace node_service;
  Stage stage;
  const auto how = GENERATE(0, 1, 2);
  stage.start_and_lease(how == 1 ? 10s : 1h);
  stage.stop();
  stage.advance(5s);
  CHECK(stage.state() == NodeState::draining);
  CHECK_FALSE(stage.stopped.has_value());
  (void)stage.tester.call(detail::function_id("node_service::works"), 1);
  stage.advance(1s);
  CHECK(stage.tester.outcomes.size() == 1);
  if (how == 0) stage.tester.end_lease();             // its manager gives it back
  if (how == 2) stage.tester_bus->set_cut_off(true);  // or is not heard any more
  stage.advance(12s);
  REQUIRE(stage.stopped.has_value());
  CHECK(stage.state() == NodeState::stopped);
  CHECK(stage.manager->total() == 0);
  CHECK(stage.lines_with("1 are left") == 1);
  if (how == 0) CHECK(std::ranges::count(stage.tester.types, detail::remote::FrameType::drain) > 1);
}

TEST_CASE("N6: what a node has on offer when it begins to drain is refused, so that others are asked", "[remote][N6]") {
  using namespace node_service;
  Stage stage;
  stage.start_and_lease();
  stage.tester.end_lease();
  stage.advance(200ms);
  stage.tester.lease.reset();
  stage.tester.want(0, 6);
  stage.scheduler->advance(10ms);
  CHECK(stage.node->stats().pools_on_offer == 1);
  stage.stop();
  stage.tester.take_it(1h, 6);
  stage.scheduler->advance(10ms);
  CHECK(stage.tester.refused);
  REQUIRE(stage.stopped.has_value());
}

TEST_CASE("N6: a node that is stopped by force gives what runs stop_timeout, and tells how each call ended",
          "[remote][N6]") {
  using namespace node_service;
  Stage stage;
  stage.start_and_lease();
  stage.run_time = GENERATE(Duration(1s), Duration(1h));
  const bool ends_in_time = stage.run_time < 1min;
  for (int i = 0; i < 3; ++i) (void)stage.tester.call(detail::function_id("node_service::works"), 1);
  stage.advance(100ms);
  if (GENERATE(false, true)) {
    stage.stop();
    stage.advance(200ms);
  }
  stage.stop(true);
  stage.advance(4500ms);
  CHECK(stage.stopped.has_value() == ends_in_time);
  stage.advance(2s);
  REQUIRE(stage.stopped.has_value());
  CHECK(stage.tester.closed == CloseReason::stopped);
  REQUIRE(stage.tester.outcomes.size() == 3);
  int cancelled = 0;
  for (const auto& outcome : stage.tester.outcomes) {
    if (outcome.head.kind == detail::remote::OutcomeKind::value) continue;
    ++cancelled;
    CHECK(detail::remote::get_failure(outcome.bytes).code() == Errc::cancelled);
  }
  CHECK(cancelled == (ends_in_time ? 1 : 3));  // there was no worker for one of them
}

TEST_CASE("N6: a forced stop ends also where nobody says that he has heard it", "[remote][N6]") {
  using namespace node_service;
  Stage stage;
  stage.start_and_lease();
  stage.run_time = 1h;
  (void)stage.tester.call(detail::function_id("node_service::works"), 1);
  stage.advance(100ms);
  stage.tester_bus->set_cut_off(true);
  stage.stop(true);
  stage.scheduler->advance(6500ms);  // stop_timeout and what is given to managers
  REQUIRE(stage.stopped.has_value());
  CHECK(stage.state() == NodeState::stopped);
}

TEST_CASE("N6: a node that is started while it stops starts anew, as another instance", "[remote][N6]") {
  using namespace node_service;
  Stage stage;
  stage.start_and_lease();
  const std::uint64_t before = stage.node->stats().instance;
  stage.stop();
  stage.started.reset();
  stage.start();
  stage.advance(200ms);
  CHECK_FALSE(stage.started.has_value());
  stage.tester.end_lease();
  stage.advance(200ms);
  REQUIRE(stage.stopped.has_value());
  REQUIRE(stage.started.has_value());
  CHECK(stage.started->has_value());
  CHECK(stage.node->stats().instance != before);
}

TEST_CASE("N4: a node logs that its server is lost and there again, once for many attempts", "[remote]") {
  using namespace node_service;
  Stage stage;
  stage.start_and_lease();
  stage.server.set_down();
  stage.scheduler->advance(4s);
  CHECK_FALSE(stage.node->stats().connected);
  stage.server.set_up();
  stage.scheduler->advance(1s);
  const NodeStats stats = stage.node->stats();
  CHECK(stats.connected);
  CHECK(stats.disconnects == 1);
  CHECK(stats.leases.size() == 1);
  CHECK(stage.lines_with("node: no server answers") == 1);
  CHECK(stage.lines_with("there again") == 1);
}

TEST_CASE("problems are news once a minute, and no more than a few of them", "[remote]") {
  using namespace node_service;
  ProblemLog log;
  const TimePoint start{1h};
  CHECK(log.is_news("refused", start));
  CHECK(log.is_news("silent", start + 1s));
  CHECK_FALSE(log.is_news("refused", start + 59s));
  CHECK(log.is_news("refused", start + 60s));
  CHECK_FALSE(log.is_news("silent", start + 60s));
  for (std::size_t i = 1; i < ProblemLog::kMost; ++i) CHECK(log.is_news(std::to_string(i), start + 61s));
  CHECK_FALSE(log.is_news("one more", start + 61s));
  CHECK(log.is_news("one more", start + 121s));
}

TEST_CASE("N6: what a node says of itself, as values, for people and as JSON", "[remote][N6]") {
  using namespace node_service;
  Stage stage;
  stage.start_and_lease();
  const NodeStats stats = stage.node->stats();
  CHECK(stats.name == "here");
  CHECK(stats.wants_heard == 1);
  CHECK(stats.leases_granted == 1);
  CHECK(stats.pools == 1);
  CHECK(stats.pools_free == 0);
  REQUIRE(stats.leases.size() == 1);
  CHECK(stats.leases[0].owner == "tester");
  CHECK(stats.leases[0].manager == "tester.77");
  CHECK(stats.leases[0].lease_id == PlayedManager::kLease);
  const std::string text = to_text(stats);
  CHECK(text.starts_with("node here of cluster default, pool default: running\n"));
  CHECK(text.find("1 pools at most: 0 free, 0 on offer, 1 lent") != std::string::npos);
  CHECK(text.find("  lease 5 of \"tester.77\"  \"tester\", held") != std::string::npos);
  const std::string json = to_json(stats);
  CHECK(json.starts_with(R"({"name":"here","cluster":"default","pool":"default","state":"running","instance":")"));
  CHECK(json.find(R"("leases":[{"lease_id":"5","owner":"tester","manager":"tester.77",)") != std::string::npos);
  CHECK(json.find(R"("local":{"manager":"leasepool")") != std::string::npos);
}
