// What a manager says about itself, on simulated pools and a virtual clock: exact counts, ages and words.
#include <string>
#include <vector>

#include "catch.hpp"
#include "lease/stage.hpp"

using namespace std::chrono_literals;
using leasepool::Errc;
using leasepool::ManagerOptions;
using leasepool::ManagerStats;
using leasepool::MemoryBound;
using leasepool::Result;
using leasepool::test::Stage;

namespace {

int named_function() { return 1; }

ManagerOptions small_manager() {
  ManagerOptions options;
  options.max_pools = 2;
  options.workers_per_pool = 1;
  options.lease_grace = 5s;
  return options;
}

}  // namespace

TEST_CASE("stats name every lease with its age, its deadlines, where it was acquired and what it runs") {
  Stage stage(small_manager());
  stage.world.next_run_time = [] { return 10s; };
  stage.acquire("builder", 60s);
  stage.scheduler->advance(1s);
  for (int i = 0; i < 3; ++i) stage.leases[0].run_async(named_function, [](const Result<int>&) {});
  stage.scheduler->advance(2s);
  const ManagerStats stats = stage.manager->stats();
  CHECK(stats.manager == "stage");
  CHECK(stats.started);
  CHECK(stats.desired == 1);
  CHECK(stats.total == 1);
  CHECK(stats.available == 0);
  REQUIRE(stats.leases.size() == 1);
  const auto& lease = stats.leases[0];
  CHECK(lease.owner == "builder");
  CHECK(lease.lease_id == stage.leases[0].lease_id());
  CHECK(lease.age == 3s);
  CHECK(lease.until_soft_expiry == 57s);
  CHECK(lease.until_hard_expiry == 62s);
  CHECK_THAT(lease.acquired_at, ContainsSubstring("stage.hpp:"));
  CHECK(lease.calls_running == 1);
  CHECK(lease.calls_queued == 2);
  REQUIRE(lease.running.size() == 1);
  CHECK(lease.running[0].running_for == 2s);
  CHECK_THAT(lease.running[0].function, ContainsSubstring("int (*)()"));  // not registered: its type is its name
  stage.leases[0].release();
  CHECK(stage.manager->stats().leases.at(0).draining);
}

TEST_CASE("stats list waiters in line, with owner, age and what is left of their timeout") {
  Stage stage(small_manager());
  stage.acquire("a", 60s);
  stage.acquire("b", 60s);
  stage.acquire("first", 60s, 30s);
  stage.scheduler->advance(4s);
  stage.acquire("second", 60s);
  const ManagerStats stats = stage.manager->stats();
  REQUIRE(stats.waiters.size() == 2);
  CHECK(stats.waiters[0].owner == "first");
  CHECK(stats.waiters[0].age == 4s);
  CHECK(stats.waiters[0].until_timeout == 26s);
  CHECK(stats.waiters[1].owner == "second");
  CHECK(stats.waiters[1].until_timeout == leasepool::Duration::max());
}

TEST_CASE("totals count acquires, expiries, revocations and calls by kind of failure") {
  Stage stage(small_manager());
  stage.world.next_run_time = [] { return 1s; };
  stage.acquire("a", 10s);
  stage.acquire("b", 60s);
  stage.acquire("impatient", 60s, 2s);
  stage.scheduler->advance(3s);  // times out
  auto& lease = stage.leases[1];
  lease.run_async([] { return 1; }, [](const Result<int>&) {});
  stage.scheduler->advance(1s);
  lease.run_async([]() -> int { throw std::runtime_error("no"); }, [](const Result<int>&) {});
  stage.scheduler->advance(1s);
  stage.world.next_run_time = [] { return 100s; };
  lease.with({.timeout = 1s}).run_async([] { return 1; }, [](const Result<int>&) {});
  stage.scheduler->advance(2s);
  stage.scheduler->advance(4s);  // a is past its soft expiry
  CHECK(stage.manager->stats().leases_expired == 1);
  CHECK(stage.manager->stats().leases_revoked == 0);
  stage.scheduler->advance(5s);  // and revoked
  const ManagerStats stats = stage.manager->stats();
  CHECK(stats.acquired == 2);
  CHECK(stats.acquires_timed_out == 1);
  CHECK(stats.acquires_failed == 1);
  CHECK(stats.leases_expired == 1);
  CHECK(stats.leases_revoked == 1);
  CHECK(stats.calls_completed == 1);
  CHECK(stats.calls_failed == 2);
  const std::vector<std::pair<Errc, std::uint64_t>> by_kind{{Errc::timed_out, 1}, {Errc::remote_exception, 1}};
  CHECK(stats.calls_failed_by == by_kind);
  CHECK(stats.acquire_wait.count == 2);
  CHECK(stats.call_run.count == 3);
  CHECK(stats.call_run.p50 >= 1s);
  CHECK(stats.call_run.p50 <= 1010ms);
  CHECK(stats.call_run.max == 1s);
}

TEST_CASE("a lease past its soft expiry is reported once, with owner, age and where it was acquired", "[X1]") {
  Stage stage(small_manager());
  stage.acquire("forgetful", 10s);
  stage.scheduler->advance(9s);
  CHECK(stage.log.empty());
  stage.scheduler->advance(4s);
  REQUIRE(stage.log.size() == 1);
  CHECK_THAT(stage.log[0], ContainsSubstring("\"forgetful\""));
  CHECK_THAT(stage.log[0], ContainsSubstring("soft expiry after 10 s"));
  CHECK_THAT(stage.log[0], ContainsSubstring("stage.hpp:"));
  stage.scheduler->advance(1s);
  CHECK(stage.log.size() == 1);
}

TEST_CASE("virtual time: expiry is on the deadline to the nanosecond, and after a jump each is handled once, in order",
          "[X2][X6]") {
  ManagerOptions options = small_manager();
  options.max_pools = 3;
  options.lease_grace = 0s;
  Stage stage(options);
  stage.acquire("late", 30s);
  stage.acquire("early", 10s);
  stage.acquire("patient", 100s);
  stage.scheduler->advance(10s - 1ns);
  CHECK(stage.leases[1].active());
  stage.scheduler->advance(1ns);
  CHECK_FALSE(stage.leases[1].active());
  CHECK(stage.leases[0].active());
  stage.acquire("again", 10s);
  stage.scheduler->jump(40s);  // as if the program had been stopped
  CHECK_FALSE(stage.leases[0].active());
  CHECK_FALSE(stage.leases[3].active());
  CHECK(stage.leases[2].active());
  CHECK(stage.manager->stats().leases_revoked == 3);
  REQUIRE(stage.log.size() == 3);
  CHECK_THAT(stage.log[0], ContainsSubstring("\"early\""));
  CHECK_THAT(stage.log[1], ContainsSubstring("\"again\""));
  CHECK_THAT(stage.log[2], ContainsSubstring("\"late\""));
}

TEST_CASE("the text, JSON and Prometheus forms say the same, and escape what must be") {
  Stage stage(small_manager());
  stage.world.next_run_time = [] { return 10s; };
  stage.acquire("quote \" and\nnewline", 60s);
  stage.leases[0].run_async(named_function, [](const Result<int>&) {});
  stage.scheduler->advance(2s);
  const ManagerStats stats = stage.manager->stats();

  const std::string text = to_text(stats);
  CHECK_THAT(text, ContainsSubstring("stage (thread backend): running\n"));
  CHECK_THAT(text, ContainsSubstring("1 of at most 2, target 1: 0 available, 1 leased"));
  CHECK_THAT(text, ContainsSubstring("\"quote \\x22 and\\x0anewline\", held 2 s, soft expiry in 58 s"));
  CHECK_THAT(text, ContainsSubstring("runs int (*)() for 2 s"));

  const std::string json = to_json(stats);
  CHECK_THAT(json, ContainsSubstring(R"("manager":"stage","backend":"thread","started":true)"));
  CHECK_THAT(json, ContainsSubstring(R"("owner":"quote \" and\u000anewline")"));
  CHECK_THAT(json, ContainsSubstring(R"("until_soft_expiry":58,)"));
  CHECK_THAT(json, ContainsSubstring(R"("waiters":[])"));
  ManagerStats times;
  times.last_replacement_time = 415171ns;
  times.call_run = {.count = 1, .p50 = -1500ms, .p99 = 2s, .max = 1ns};
  CHECK_THAT(to_json(times), ContainsSubstring(R"("last_replacement_time":0.000415171,)"));
  CHECK_THAT(to_json(times),
             ContainsSubstring(R"("call_run":{"count":1,"p50":-1.5,"p99":2,"max":0.000000001,"sum":0,)"));

  CHECK_THAT(to_text(times), !ContainsSubstring("memory limit"));
  CHECK_THAT(to_json(times), ContainsSubstring(R"("worker_kill_scope":"none","worker_memory_bound":"none",)"));
  CHECK_THAT(to_text(times), !ContainsSubstring("  loop "));
  CHECK_THAT(to_json(times), ContainsSubstring(R"("engine":"automatic",)"));
  times.engine = leasepool::LoopEngine::epoll;
  CHECK_THAT(to_text(times), ContainsSubstring("  loop            on epoll\n"));
  CHECK_THAT(to_json(times), ContainsSubstring(R"("engine":"epoll",)"));
  CHECK_THAT(to_prometheus(times), ContainsSubstring("engine=\"epoll\"} 1\n"));
  CHECK_THAT(to_json(times), ContainsSubstring(R"("nodes":[])"));
  CHECK_THAT(to_prometheus(times), !ContainsSubstring("node_leases"));
  times.nodes.push_back({.node = "here",
                         .build = "00ff",
                         .round_trip = 80us,
                         .last_heard = 250ms,
                         .leases = 2,
                         .calls_in_doubt = 3,
                         .resends = 4});
  times.nodes.push_back({.node = "there"});
  CHECK_THAT(to_text(times),
             ContainsSubstring("  node here of build 00ff, 2 leased, 3 calls in doubt, round trip 80 us, "
                               "heard 250 ms ago, 4 resends\n  node there, 0 leased"));
  CHECK_THAT(to_json(times),
             ContainsSubstring(R"({"node":"here","build":"00ff","round_trip":0.00008,"last_heard":0.25,)"
                               R"("leases":2,"calls_in_doubt":3,"resends":4},)"
                               R"({"node":"there","build":"","round_trip":null,)"));
  CHECK_THAT(to_prometheus(times), ContainsSubstring("node=\"here\"} 2\n"));
  CHECK_THAT(to_prometheus(times), ContainsSubstring("leasepool_node_round_trip_seconds"));
  times.worker_memory_bound = MemoryBound::both;
  CHECK_THAT(to_text(times), ContainsSubstring("  memory limit    each worker: of its address space and cgroup\n"));

  const std::string prometheus = to_prometheus(stats);
  CHECK_THAT(
      prometheus,
      ContainsSubstring("leasepool_calls_failed_total{manager=\"stage\",backend=\"thread\",kind=\"node_lost\"} 0\n"));
  CHECK_THAT(prometheus, ContainsSubstring("# TYPE leasepool_call_run_seconds histogram\n"));
  CHECK_THAT(prometheus, ContainsSubstring("# TYPE leasepool_pools gauge\n"));
  CHECK_THAT(prometheus,
             ContainsSubstring("leasepool_pools{manager=\"stage\",backend=\"thread\",state=\"leased\"} 1\n"));
  CHECK_THAT(prometheus, ContainsSubstring("leasepool_calls_running{manager=\"stage\",backend=\"thread\"} 1\n"));
  CHECK_THAT(prometheus, ContainsSubstring("leasepool_oldest_lease_seconds{manager=\"stage\",backend=\"thread\"} 2\n"));
}
