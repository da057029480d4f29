// Remote managers on simulated nodes: who gets a pool, what a lost node means, and what is certain of each call.
#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "catch.hpp"
#include "sim_cluster.hpp"

namespace remote_pools {

using namespace std::chrono_literals;
using namespace leasepool;
using test::SimCluster;

std::uint64_t twice(std::uint64_t value) { return 2 * value; }
std::uint64_t of_a_plug_in(std::uint64_t value) { return value; }
std::uint64_t counted(std::uint64_t value);
std::uint64_t runs = 0;
std::uint64_t counted(std::uint64_t value) {
  ++runs;
  return value;
}

}  // namespace remote_pools

LEASEPOOL_REGISTER(remote_pools::twice);
LEASEPOOL_REGISTER(remote_pools::counted);

using namespace remote_pools;

TEST_CASE("N1: a pool is borrowed for a lease, runs its calls, and goes back", "[remote][N1]") {
  SimCluster cluster;
  const auto node = cluster.add_node("one");
  const auto manager = cluster.add_manager("m");
  REQUIRE(manager->started.has_value());
  CHECK(manager->started->has_value());
  CHECK(manager->manager->total() == 0);
  const auto want = manager->acquire("tester");
  cluster.run();
  REQUIRE(want->has_lease());
  CHECK(node->manager->leased() == 1);
  CHECK(node->manager->stats().leases.front().owner == "tester");
  std::vector<std::shared_ptr<SimCluster::Call>> calls;
  for (std::uint64_t i = 0; i < 100; ++i) calls.push_back(SimCluster::call(want->lease(), twice, i));
  cluster.advance(1s);
  for (std::uint64_t i = 0; i < 100; ++i) CHECK(calls[i]->has_value(2 * i));
  const ManagerStats stats = manager->manager->stats();
  REQUIRE(stats.nodes.size() == 1);
  CHECK(stats.nodes.front().node == "one");
  CHECK(stats.nodes.front().leases == 1);
  CHECK(stats.nodes.front().calls_in_doubt == 0);
  CHECK(stats.nodes.front().round_trip.has_value());
  CHECK(stats.calls_completed == 100);
  want->lease().release();
  cluster.run();
  CHECK(manager->manager->total() == 0);
  CHECK(node->manager->leased() == 0);
  CHECK(node->core->leases() == 0);
}

TEST_CASE("N1: who waits is served in order, by what comes free on any node", "[remote][N1]") {
  SimCluster cluster;
  const auto manager = cluster.add_manager("m");
  std::vector<std::shared_ptr<SimCluster::Manager::Want>> wants;
  for (int i = 0; i < 6; ++i) wants.push_back(manager->acquire(std::to_string(i)));
  cluster.advance(10s);
  for (const auto& want : wants) CHECK_FALSE(want->got.has_value());
  const auto one = cluster.add_node("one");
  CHECK(wants[0]->has_lease());
  CHECK_FALSE(wants[1]->got.has_value());
  const auto two = cluster.add_node("two", 2);
  CHECK(wants[1]->has_lease());
  CHECK(wants[2]->has_lease());
  CHECK_FALSE(wants[3]->got.has_value());
  for (std::size_t i = 0; i < 3; ++i) {
    wants[i]->lease().release();
    cluster.run();
    CAPTURE(i);
    CHECK(wants[i + 3]->has_lease());
    if (i < 2) CHECK_FALSE(wants[i + 4]->got.has_value());
  }
  CHECK(manager->manager->total() == 3);
}

TEST_CASE("N1: max_pools is what a manager holds at once, and what it does not want any more it does not seek",
          "[remote][N1]") {
  SimCluster cluster;
  const auto node = cluster.add_node("one", 4);
  const auto manager = cluster.add_manager("m", SimCluster::options(2));
  const auto first = manager->acquire("first");
  const auto second = manager->acquire("second");
  const auto third = manager->acquire("third", 5s);
  cluster.advance(1s);
  CHECK(first->has_lease());
  CHECK(second->has_lease());
  CHECK_FALSE(third->got.has_value());
  CHECK(node->manager->leased() == 2);
  cluster.advance(5s);
  REQUIRE(third->got.has_value());
  CHECK(third->error().code() == Errc::timed_out);
  first->lease().release();
  cluster.run();
  CHECK(manager->manager->total() == 1);
  CHECK(node->manager->leased() == 1);

  const auto elsewhere = cluster.add_manager("elsewhere", SimCluster::options(8));
  std::vector<std::shared_ptr<SimCluster::Manager::Want>> wants;
  for (int i = 0; i < 4; ++i) wants.push_back(elsewhere->acquire("e", 3s));
  cluster.advance(1s);
  CHECK(elsewhere->manager->leased() == 3);  // and the fourth is sought
  CHECK(node->core->offers().wants() == 1);
  cluster.advance(3s);
  CHECK(wants.back()->error().code() == Errc::timed_out);
  CHECK(elsewhere->manager->total() == 3);
  CHECK(node->core->offers().wants() == 0);
}

TEST_CASE("N1: who does not want to wait hears as soon as it is known, and who has the pools", "[remote][N1]") {
  SimCluster cluster;
  const auto manager = cluster.add_manager("m");
  const auto nobody = manager->acquire("hasty", {}, false);
  cluster.run();
  REQUIRE(nobody->got.has_value());
  CHECK(nobody->error().code() == Errc::lease_unavailable);
  CHECK(nobody->error().message() ==
        "m: no pool is free for \"hasty\": there is no node of pool \"default\" in cluster \"default\", and wait = "
        "false; of max_pools = 4, held by nobody");
  CHECK(manager->manager->total() == 0);

  const auto node = cluster.add_node("one");
  const auto other = cluster.add_manager("other");
  const auto holds = other->acquire("holder");
  cluster.advance(2s);
  REQUIRE(holds->has_lease());
  const auto late = manager->acquire("hasty", {}, false);
  cluster.run();
  REQUIRE(late->got.has_value());
  CHECK(late->error().code() == Errc::lease_unavailable);
  CHECK_FALSE(late->error().may_have_run());
  CHECK_THAT(late->error().message(),
             ContainsSubstring("no node of pool \"default\" in cluster \"default\" has offered "
                               "one; node one has 1 leased to \"holder\" for "));
  holds->lease().release();
  cluster.run();
  const auto gets = manager->acquire("hasty", {}, false);
  cluster.run();
  CHECK(gets->has_lease());
}

TEST_CASE("N1: who does not want to wait waits 100 ms for a node that does not answer, once", "[remote][N1]") {
  SimCluster cluster;
  std::vector<std::unique_ptr<SimCluster::Node>> nodes;
  for (int i = 0; i < 10; ++i) nodes.push_back(cluster.add_node("n" + std::to_string(i)));
  const auto other = cluster.add_manager("other", SimCluster::options(10));
  std::vector<std::shared_ptr<SimCluster::Manager::Want>> held;
  for (int i = 0; i < 10; ++i) held.push_back(other->acquire("holder"));
  const auto manager = cluster.add_manager("m");
  cluster.advance(1s);
  // All ten are busy, of which this manager learns now.
  const auto first = manager->acquire("hasty", {}, false);
  cluster.advance(100ms);
  REQUIRE(first->got.has_value());
  cluster.advance(100ms);
  const auto known = manager->acquire("hasty", {}, false);
  cluster.run();
  REQUIRE(known->got.has_value());
  CHECK(known->error().code() == Errc::lease_unavailable);
  // One that sleeps may have a pool by now.
  nodes[0]->bus->set_held(true);
  const auto asleep = manager->acquire("hasty", {}, false);
  cluster.advance(99ms);
  CHECK_FALSE(asleep->got.has_value());
  cluster.advance(1ms);
  CHECK(asleep->error().code() == Errc::lease_unavailable);
  const auto again = manager->acquire("hasty", {}, false);
  cluster.run();
  CHECK(again->error().code() == Errc::lease_unavailable);
  nodes[0]->bus->set_held(false);
  // Who waits is not bothered by who does not, and who comes behind him does not get what he waits for.
  const auto patient = manager->acquire("patient");
  cluster.run();
  const auto behind = manager->acquire("hasty", {}, false);
  cluster.run();
  CHECK(behind->error().code() == Errc::lease_unavailable);
  held.back()->lease().release();
  const auto late = manager->acquire("hasty", {}, false);
  cluster.run();
  CHECK(patient->has_lease());
  REQUIRE(late->got.has_value());
  CHECK(late->error().code() == Errc::lease_unavailable);
}

TEST_CASE("N1: who does not want to wait is not refused as long as a node may answer that nobody knows yet",
          "[remote][N1]") {
  SimCluster cluster;
  const auto busy = cluster.add_node("busy");
  const auto other = cluster.add_manager("other");
  const auto holds = other->acquire("holder");
  cluster.run();
  REQUIRE(holds->has_lease());
  const auto slow = cluster.add_node("slow");
  const auto manager = cluster.add_manager("m");
  cluster.server.fate = [](const auto& trip) {
    return std::vector<leasepool::Duration>{trip.from == "slow" ? leasepool::Duration(30ms) : leasepool::Duration{}};
  };
  const auto hasty = manager->acquire("hasty", {}, false);
  cluster.advance(99ms);
  CHECK(hasty->has_lease());
}

TEST_CASE("N1: min_pools is sought in the background, kept ready, and fetched anew", "[remote][N1]") {
  SimCluster cluster;
  const auto manager = cluster.add_manager("m", SimCluster::options(4, 2));
  CHECK(manager->started->has_value());
  CHECK(manager->manager->available() == 0);
  const auto node = cluster.add_node("one", 2);
  cluster.advance(6s);
  CHECK(manager->manager->available() == 2);
  CHECK(node->manager->stats().leases.front().owner == "m");
  const auto want = manager->acquire("at once");
  cluster.scheduler->run_until_idle();
  REQUIRE(want->has_lease());
  const auto call = SimCluster::call(want->lease(), twice, 4);
  cluster.advance(10ms);
  CHECK(call->has_value(8));
  want->lease().release();
  cluster.advance(1s);
  CHECK(manager->manager->available() == 2);
  CHECK(node->manager->leased() == 2);
}

TEST_CASE("N1: a lease runs as many calls at once as the smaller workers_per_pool of the two says", "[remote][N1]") {
  const auto running_at_once = [](std::size_t of_manager, std::size_t of_node) {
    std::size_t running = 0;
    SimCluster cluster;
    const auto node = cluster.add_node("one", 1, of_node);
    node->world.next_run_time = [&] {
      ++running;
      return 1h;
    };
    const auto manager = cluster.add_manager("m", SimCluster::options(1, 0, of_manager));
    const auto want = manager->acquire("tester");
    cluster.run();
    std::vector<std::shared_ptr<SimCluster::Call>> calls;
    for (std::uint64_t i = 0; i < 20; ++i) calls.push_back(SimCluster::call(want->lease(), twice, i));
    cluster.advance(1s);
    return running;
  };
  CHECK(running_at_once(2, 4) == 2);
  CHECK(running_at_once(4, 2) == 2);
  CHECK(running_at_once(3, 3) == 3);
}

TEST_CASE("N1: without a server a start fails in time, and one that goes later only makes acquires wait",
          "[remote][N1]") {
  SimCluster cluster;
  cluster.server.set_down();
  const auto manager = cluster.add_manager("m");
  cluster.advance(9s);
  CHECK_FALSE(manager->started.has_value());
  cluster.advance(2s);
  REQUIRE(manager->started.has_value());
  REQUIRE_FALSE(manager->started->has_value());
  CHECK(manager->started->error().code() == Errc::pool_broken);
  CHECK(manager->started->error().message() == "no connection to a NATS server of RemoteOptions::servers = "
                                               "\"nats://memory\" within worker_start_timeout = 10 s: "
                                               "m: no server answers");
  cluster.server.set_up();
  manager->started.reset();
  manager->manager->start([&](const Result<void>& result) { manager->started = result; });
  cluster.advance(1s);
  REQUIRE(manager->started.has_value());
  CHECK(manager->started->has_value());
  cluster.server.set_down();
  cluster.run();
  const auto want = manager->acquire("tester", 2s);
  cluster.advance(3s);
  REQUIRE(want->got.has_value());
  CHECK(want->error().code() == Errc::timed_out);
  CHECK_THAT(want->error().message(), ContainsSubstring("(there is no connection to a NATS server: m: "));
}

TEST_CASE("N3: a node that dies is lost after reconnect_grace; each call says what is certain, and it is true",
          "[remote][N3]") {
  SimCluster cluster;
  auto node = cluster.add_node("one");
  node->world.next_run_time = [] { return 1h; };
  const auto manager = cluster.add_manager("m", SimCluster::options(1));
  const auto want = manager->acquire("tester");
  cluster.run();
  runs = 0;
  std::vector<std::shared_ptr<SimCluster::Call>> calls;
  for (std::uint64_t i = 0; i < 5; ++i) calls.push_back(SimCluster::call(want->lease(), counted, i));
  cluster.run();
  const auto waiting = manager->acquire("next");
  node->die();
  cluster.advance(1900ms);
  CHECK_FALSE(calls[0]->got.has_value());
  cluster.advance(500ms);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    REQUIRE(calls[i]->code() == Errc::node_lost);
    CHECK(calls[i]->may_have_run() == (i < 2));  // what waited for a worker had not been sent
    CHECK_THAT(calls[i]->message(), ContainsSubstring("node one is lost: nobody has listened in its place for "
                                                      "reconnect_grace = 2 s"));
    CHECK_THAT(calls[i]->message(), ContainsSubstring(i < 2 ? "the call may have run" : "; the call has not run"));
  }
  CHECK_FALSE(want->lease().active());
  const auto refused = SimCluster::call(want->lease(), twice, 1);
  cluster.run();
  CHECK(refused->code() == Errc::node_lost);
  CHECK_FALSE(refused->may_have_run());
  CHECK_FALSE(waiting->got.has_value());
  const auto other = cluster.add_node("two");
  cluster.advance(6s);
  CHECK(waiting->has_lease());
  CHECK(other->manager->leased() == 1);
}

TEST_CASE("N3: a node that is silent is lost after node_timeout, and kills what it had when it comes to itself",
          "[remote][N3]") {
  SimCluster cluster;
  const auto node = cluster.add_node("one");
  node->world.next_run_time = [] { return 1h; };
  const auto manager = cluster.add_manager("m", SimCluster::options(1));
  const auto want = manager->acquire("tester");
  cluster.run();
  const auto call = SimCluster::call(want->lease(), twice, 1);
  cluster.advance(1s);
  node->bus->set_cut_off(true);
  cluster.advance(4500ms);
  CHECK_FALSE(call->got.has_value());
  cluster.advance(600ms);
  REQUIRE(call->code() == Errc::node_lost);
  CHECK(call->may_have_run());
  CHECK_THAT(call->message(), ContainsSubstring("it has not been heard for node_timeout = 5 s"));
  CHECK(node->manager->leased() == 1);
  node->bus->set_cut_off(false);
  cluster.advance(1s);
  CHECK(node->manager->leased() == 0);  // it was told
  CHECK(node->core->leases() == 0);
}

TEST_CASE("N3: two nodes that are called alike, as in two containers of one host, do not take each other's place",
          "[remote][N3]") {
  SimCluster cluster;
  const auto one = cluster.add_node("alike");
  one->world.next_run_time = [] { return 1h; };
  const auto manager = cluster.add_manager("m", SimCluster::options(2));
  const auto first = manager->acquire("first");
  cluster.run();
  const auto call = SimCluster::call(first->lease(), twice, 1);
  cluster.run();
  const auto other = cluster.add_node("alike");
  const auto second = manager->acquire("second");
  cluster.advance(6s);
  REQUIRE(second->has_lease());
  CHECK(other->manager->leased() == 1);
  CHECK_FALSE(call->got.has_value());
  CHECK(one->manager->leased() == 1);
}

TEST_CASE("N3: another process in a node's place says at once that it is lost", "[remote][N3]") {
  SimCluster cluster;
  auto node = cluster.add_node("web1-4711");  // as nodes are called: after the machine and the process
  node->world.next_run_time = [] { return 1h; };
  const auto manager = cluster.add_manager("m", SimCluster::options(2));
  const auto want = manager->acquire("tester");
  cluster.run();
  const auto call = SimCluster::call(want->lease(), twice, 1);
  cluster.run();
  node->die();
  const auto elsewhere = cluster.add_node("web2-4711");
  cluster.advance(600ms);
  CHECK_FALSE(call->got.has_value());
  const auto again = cluster.add_node("web1-4712");
  const auto next = manager->acquire("next");
  cluster.run();
  CHECK(next->has_lease());
  REQUIRE(call->code() == Errc::node_lost);
  CHECK_THAT(call->message(), ContainsSubstring("another process has its place"));
}

TEST_CASE("N4: a node that connects again is not taken for replaced by one that came earlier", "[remote][N4]") {
  SimCluster cluster;
  const auto node = cluster.add_node("web1-4711");
  node->world.next_run_time = [] { return 1h; };
  const auto manager = cluster.add_manager("m", SimCluster::options(2));
  const auto want = manager->acquire("tester");
  cluster.run();
  const auto call = SimCluster::call(want->lease(), twice, 1);
  cluster.run();
  const auto other = cluster.add_node("web1-4712");
  cluster.advance(600ms);
  node->bus->disconnect("a cable is pulled");
  node->bus->set_cut_off(true);
  cluster.advance(1s);
  CHECK_FALSE(call->got.has_value());
  node->bus->set_cut_off(false);
  cluster.advance(3s);
  CHECK_FALSE(call->got.has_value());
  CHECK(want->lease().active());
}

TEST_CASE("N4: nodes that come back one by one when the server does are not taken for replaced by one another",
          "[remote][N4]") {
  SimCluster cluster;
  const auto node = cluster.add_node("web1-4711");
  node->world.next_run_time = [] { return 1h; };
  const auto manager = cluster.add_manager("m", SimCluster::options(1));
  const auto want = manager->acquire("tester");
  cluster.run();
  const auto call = SimCluster::call(want->lease(), twice, 1);
  manager->bus->set_cut_off(true);  // so that it never hears of the other
  const auto other = cluster.add_node("web1-4712");
  manager->bus->set_cut_off(false);
  node->bus->set_cut_off(true);
  other->bus->disconnect("the server restarts");
  cluster.advance(1s);
  node->bus->set_cut_off(false);
  node->bus->disconnect("the server restarts");
  cluster.advance(3s);
  CHECK_FALSE(call->got.has_value());
  CHECK(want->lease().active());
}

TEST_CASE("N4: a server that is gone for less than node_timeout fails no call and loses no lease", "[remote][N4]") {
  SimCluster cluster;
  const auto node = cluster.add_node("one");
  node->world.next_run_time = [] { return 100ms; };
  const auto manager = cluster.add_manager("m", SimCluster::options(1));
  const auto want = manager->acquire("tester");
  cluster.run();
  runs = 0;
  std::vector<std::shared_ptr<SimCluster::Call>> calls;
  for (std::uint64_t i = 0; i < 50; ++i) calls.push_back(SimCluster::call(want->lease(), counted, i));
  for (int round = 0; round < 3; ++round) {
    cluster.advance(150ms);
    cluster.server.set_down();
    cluster.advance(4900ms);
    cluster.server.set_up();
  }
  cluster.advance(10s);
  for (std::uint64_t i = 0; i < 50; ++i) CHECK(calls[i]->has_value(i));
  CHECK(runs == 50);
  CHECK(want->lease().active());

  const auto last = SimCluster::call(want->lease(), twice, 1);
  cluster.server.set_down();
  cluster.advance(6s);
  REQUIRE(last->code() == Errc::node_lost);
  CHECK_THAT(last->message(), ContainsSubstring("as this manager is cut off: "));
}

TEST_CASE("N5: at hard expiry the caller hears at once, and the node kills, by itself where it is cut off",
          "[remote][N5]") {
  const bool cut_off = GENERATE(false, true);
  SimCluster cluster;
  const auto node = cluster.add_node("one");
  node->world.next_run_time = [] { return 1h; };
  ManagerOptions options = SimCluster::options(1);
  options.lease_grace = 1s;
  const auto manager = cluster.add_manager("m", options);
  const auto want = manager->acquire("tester", {}, true, 2s);
  cluster.run();
  std::vector<std::shared_ptr<SimCluster::Call>> calls;
  for (std::uint64_t i = 0; i < 4; ++i) calls.push_back(SimCluster::call(want->lease(), twice, i));
  cluster.run();
  const TimePoint expiry = want->lease().hard_expires_at();
  node->bus->set_cut_off(cut_off);
  cluster.scheduler->advance(expiry - cluster.scheduler->now() - 1ms);
  for (const auto& call : calls) CHECK_FALSE(call->got.has_value());
  CHECK(node->manager->leased() == 1);
  cluster.advance(1ms);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    REQUIRE(calls[i]->code() == Errc::lease_expired);
    CHECK(calls[i]->may_have_run() == (i < 2));
  }
  cluster.advance(2ms);
  CHECK(node->manager->leased() == 0);
}

TEST_CASE("N1: extend() holds once the node has confirmed it", "[remote][N1]") {
  SimCluster cluster;
  const auto node = cluster.add_node("one");
  const auto manager = cluster.add_manager("m", SimCluster::options(1));
  const auto want = manager->acquire("tester", {}, true, 2s);
  cluster.run();
  ExecutorLease& lease = want->lease();
  const TimePoint before = lease.soft_expires_at();
  const TimePoint asked = cluster.scheduler->now();
  lease.extend(1min);
  CHECK(lease.soft_expires_at() == before);
  cluster.run();
  CHECK(lease.soft_expires_at() == asked + 1min);
  cluster.advance(30s);
  CHECK(lease.active());
  CHECK(node->manager->leased() == 1);

  node->bus->set_cut_off(true);
  lease.extend(1h);
  cluster.advance(2s);
  CHECK(lease.soft_expires_at() == asked + 1min);
}

TEST_CASE("N1: calls are bounded on the node, cancelled at once here, and fail there with the node's name",
          "[remote][N1]") {
  SimCluster cluster;
  const auto node = cluster.add_node("one");
  node->world.next_run_time = [] { return 1h; };
  const auto manager = cluster.add_manager("m", SimCluster::options(1));
  const auto want = manager->acquire("tester");
  cluster.run();
  ExecutorLease& lease = want->lease();
  std::stop_source stop;
  const auto timed = SimCluster::call(lease.with({.timeout = 2s}), twice, 1);
  const auto runs_long = SimCluster::call(lease.with(stop.get_token()), twice, 2);
  const auto waits = SimCluster::call(lease.with(stop.get_token()), twice, 3);
  const auto bounded = SimCluster::call(lease.with({.queue_timeout = 1s}), twice, 4);
  cluster.advance(1500ms);
  REQUIRE(bounded->code() == Errc::timed_out);
  CHECK_FALSE(bounded->may_have_run());
  stop.request_stop();
  cluster.scheduler->run_until_idle();
  REQUIRE(waits->code() == Errc::cancelled);
  CHECK_FALSE(waits->may_have_run());
  REQUIRE(runs_long->code() == Errc::cancelled);
  CHECK(runs_long->may_have_run());
  CHECK_FALSE(timed->got.has_value());
  cluster.advance(1s);
  REQUIRE(timed->code() == Errc::timed_out);
  CHECK(timed->may_have_run());
  CHECK_THAT(timed->message(), ContainsSubstring("node one: "));
  CHECK(lease.active());
  node->world.next_run_time = [] { return 1ms; };
  const auto after = SimCluster::call(lease, twice, 5);
  cluster.advance(10ms);
  CHECK(after->has_value(10));
}

TEST_CASE("N7: a function that a node does not have, or has with other types, has not run; node and build are named",
          "[remote][N7]") {
  SimCluster cluster;
  const auto node = cluster.add_node("one");
  const auto manager = cluster.add_manager("m", SimCluster::options(1));
  const auto want = manager->acquire("tester");
  cluster.run();
  const auto describe = [] {
    auto function = detail::describe_function<of_a_plug_in>(std::source_location::current());
    return function;
  };
  std::uint64_t (*const function)(std::uint64_t) =
      reinterpret_cast<std::uint64_t (*)(std::uint64_t)>(describe().address);
  // Between the sending and the arrival this program, which is both ends, becomes another one.
  cluster.server.fate = [](const auto&) { return std::vector<Duration>{10ms}; };
  auto registered = std::make_unique<detail::Registration>(describe());
  const auto unknown = SimCluster::call(want->lease(), function, 1);
  cluster.run();
  registered.reset();
  cluster.advance(50ms);
  REQUIRE(unknown->code() == Errc::unregistered_function);
  CHECK_FALSE(unknown->may_have_run());
  CHECK_THAT(unknown->message(), ContainsSubstring("node one (build "));
  CHECK_THAT(unknown->message(), ContainsSubstring("it has no function of that name"));

  registered = std::make_unique<detail::Registration>(describe());
  const auto other_types = SimCluster::call(want->lease(), function, 1);
  cluster.run();
  const auto* const known = detail::find_function(reinterpret_cast<detail::FunctionAddress>(function));
  const_cast<detail::RegisteredFunction*>(known)->signature.store(1);
  cluster.advance(50ms);
  REQUIRE(other_types->code() == Errc::bad_payload);
  CHECK_FALSE(other_types->may_have_run());
  CHECK_THAT(other_types->message(), ContainsSubstring("node one (build "));
  CHECK_THAT(other_types->message(), ContainsSubstring("of_a_plug_in has other parameters or another result"));
}

TEST_CASE("N1: a node that drains has back what is only kept ready, and what is lent when it is given back",
          "[remote][N1]") {
  SimCluster cluster;
  const auto one = cluster.add_node("one", 2);
  const auto manager = cluster.add_manager("m", SimCluster::options(3, 2));
  cluster.run();
  REQUIRE(manager->manager->available() == 2);
  const auto want = manager->acquire("tester");
  cluster.run();
  CHECK(manager->manager->available() == 1);
  bool drained = false;
  one->core->drain([&] { drained = true; });
  cluster.run();
  CHECK(manager->manager->available() == 0);
  CHECK(one->core->leases() == 1);
  const auto call = SimCluster::call(want->lease(), twice, 4);
  cluster.advance(1s);
  CHECK(call->has_value(8));
  CHECK_FALSE(drained);
  want->lease().release();
  cluster.run();
  CHECK(drained);
  const auto two = cluster.add_node("two", 2);
  CHECK(manager->manager->available() == 2);
}

TEST_CASE("N4: that the connection is lost, why it does not come back, and that it has, is logged once each",
          "[remote][N4]") {
  SimCluster cluster;
  const auto manager = cluster.add_manager("m");
  CHECK(manager->log.empty());
  cluster.server.set_down();
  cluster.advance(1s);
  cluster.server.set_up();
  cluster.advance(1s);
  const std::vector<std::string> expected = {
      "m: the connection is lost: m: the server has gone; it is tried again",
      "m: m: no server answers",
      "m: the connection to a NATS server is there again",
  };
  CHECK(manager->log == expected);
}

TEST_CASE("N2: a call runs once, however often messages are lost or repeated", "[remote][N2]") {
  std::uint64_t trip = 0;
  SimCluster cluster;
  const auto node = cluster.add_node("one");
  const auto manager = cluster.add_manager("m", SimCluster::options(1));
  const auto want = manager->acquire("tester");
  cluster.run();
  cluster.server.fate = [&](const auto&) {
    ++trip;
    if (trip % 5 == 0) return std::vector<Duration>{};
    if (trip % 7 == 0) return std::vector<Duration>{0ms, 3ms};
    return std::vector<Duration>{0ms};
  };
  runs = 0;
  std::vector<std::shared_ptr<SimCluster::Call>> calls;
  for (std::uint64_t i = 0; i < 500; ++i) {
    calls.push_back(SimCluster::call(want->lease(), counted, i));
    if (i % 10 == 0) cluster.advance(5ms);
  }
  cluster.advance(1min);
  for (std::uint64_t i = 0; i < 500; ++i) CHECK(calls[i]->has_value(i));
  CHECK(runs == 500);
  CHECK(manager->manager->stats().nodes.front().resends > 0);
}
