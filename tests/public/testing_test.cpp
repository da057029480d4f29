// leasepool/testing.hpp: a test moves the clock, and decides what becomes of calls, workers and pools.
#include <leasepool/testing.hpp>

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "support.hpp"

namespace simulated {

using leasepool::testing::Simulation;

lp::ManagerOptions options(ExecutorBackend backend = ExecutorBackend::process, std::size_t max_pools = 1,
                           std::size_t workers = 2) {
  return options_for(backend, max_pools, workers);
}

// A manager that has started, and a lease of it.
struct Stage {
  explicit Stage(const lp::ManagerOptions& wanted = options()) : manager(sim.loop(), wanted) {
    manager.start_async([this](const lp::Result<void>& result) { started = result.has_value(); });
    sim.run();
  }
  lp::ExecutorLease acquire(lp::AcquireOptions wanted = {.owner = "test"}) {
    lp::ExecutorLease lease;
    manager.acquire_async(wanted, [&](lp::Result<lp::ExecutorLease> got) { lease = std::move(got.value()); });
    sim.run();
    return lease;
  }

  Simulation sim;
  Manager manager;
  bool started = false;
};

// What a call came to, as soon as it has.
struct Outcome {
  std::optional<lp::Result<std::uint64_t>> result;
  auto callback() {
    return [this](lp::Result<std::uint64_t> got) { result.emplace(std::move(got)); };
  }
  [[nodiscard]] bool failed_with(Errc code) const { return result && !*result && result->error().code() == code; }
  [[nodiscard]] bool is(std::uint64_t value) const { return result && *result && **result == value; }
};

struct Model {
  int uses = 0;
};
void load() { lp::make_worker_value<Model>(); }
int use() { return ++lp::worker_value<Model>().uses; }
int not_registered(int x) { return x; }

}  // namespace simulated

LEASEPOOL_REGISTER(simulated::load);
LEASEPOOL_REGISTER(simulated::use);

using simulated::Outcome;
using simulated::Simulation;
using simulated::Stage;

TEST_CASE("a simulated call takes as long as the test says, and its function runs then", "[simulation]") {
  Stage stage(simulated::options(both_backends()));
  REQUIRE(stage.started);
  lp::ExecutorLease lease = stage.acquire();
  Outcome first;
  lease.run_async(square, 3, first.callback());
  CHECK_FALSE(first.result.has_value());
  stage.sim.run();
  CHECK(first.is(9));

  stage.sim.set_call_duration(10s);
  std::array<Outcome, 3> outcomes;
  for (Outcome& outcome : outcomes) lease.run_async(square, 4, outcome.callback());
  stage.sim.advance(9s);
  CHECK(stage.sim.running_calls() == 2);
  CHECK(stage.sim.waiting_calls() == 1);
  CHECK_FALSE(outcomes[0].result.has_value());
  stage.sim.advance(1s);
  CHECK(outcomes[1].is(16));
  CHECK_FALSE(outcomes[2].result.has_value());
  stage.sim.advance(10s);
  CHECK(outcomes[2].is(16));
}

TEST_CASE("a simulated call without an end has one when the test says so", "[simulation]") {
  Stage stage;
  lp::ExecutorLease lease = stage.acquire({.owner = "test", .lease_duration = lp::Duration::max()});
  stage.sim.set_call_duration(lp::Duration::max());
  Outcome outcome;
  lease.run_async(square, 5, outcome.callback());
  stage.sim.advance(1000h);
  CHECK_FALSE(outcome.result.has_value());
  CHECK(stage.sim.finish_call());
  CHECK_FALSE(stage.sim.finish_call());
  stage.sim.run();
  CHECK(outcome.is(25));
}

TEST_CASE("a simulated worker that crashes fails the call that it ran, and no other", "[simulation]") {
  Stage stage(simulated::options(ExecutorBackend::process, 1, 1));
  lp::ExecutorLease lease = stage.acquire();
  stage.sim.set_call_duration(1s);
  Outcome crashed;
  Outcome waits;
  lease.run_async(square, 2, crashed.callback());
  lease.run_async(square, 3, waits.callback());
  stage.sim.run();
  CHECK(stage.sim.crash_worker());
  stage.sim.run();
  CHECK(crashed.failed_with(Errc::worker_crashed));
  stage.sim.advance(1s);
  CHECK(waits.is(9));
  CHECK_FALSE(stage.sim.crash_worker());

  Stage threads(simulated::options(ExecutorBackend::thread));
  lp::ExecutorLease of_threads = threads.acquire();
  threads.sim.set_call_duration(1s);
  of_threads.run_async(square, 2, crashed.callback());
  threads.sim.run();
  CHECK_FALSE(threads.sim.crash_worker());
}

TEST_CASE("a simulated lease expires at its time, and its calls with it", "[simulation]") {
  Stage stage;
  lp::ExecutorLease lease = stage.acquire({.owner = "late", .lease_duration = 60s});
  stage.sim.set_call_duration(1h);
  Outcome outcome;
  lease.run_async(square, 2, outcome.callback());
  stage.sim.advance(60s + 14s);  // lease_grace is 15 s
  CHECK(lease.active());
  CHECK_FALSE(outcome.result.has_value());
  CHECK(lease.hard_expires_at() - stage.sim.now() == 1s);
  stage.sim.advance(1s);
  CHECK_FALSE(lease.active());
  CHECK(outcome.failed_with(Errc::lease_expired));
  CHECK(stage.acquire().active());  // in its place
}

TEST_CASE("simulated calls and acquires time out at their time", "[simulation]") {
  Stage stage;
  lp::ExecutorLease lease = stage.acquire();
  stage.sim.set_call_duration(1h);
  Outcome call;
  lease.with({.timeout = 2s}).run_async(square, 2, call.callback());
  std::optional<Errc> refused;
  stage.manager.acquire_async({.timeout = 5s}, [&](const lp::Result<lp::ExecutorLease>& result) {
    refused = static_cast<Errc>(result.error().code().value());
  });
  stage.sim.advance(1999ms);
  CHECK_FALSE(call.result.has_value());
  stage.sim.advance(1ms);
  CHECK(call.failed_with(Errc::timed_out));
  stage.sim.advance(2999ms);
  CHECK_FALSE(refused.has_value());
  stage.sim.advance(1ms);
  CHECK(refused == Errc::timed_out);
}

TEST_CASE("an acquire is refused where the test has taken all pools", "[simulation]") {
  Stage stage(simulated::options(ExecutorBackend::process, 3));
  const lp::ExecutorLease own = stage.acquire();
  std::vector<lp::ExecutorLease> taken = stage.sim.take_all_pools(stage.manager);
  CHECK(taken.size() == 2);
  std::string text;
  stage.manager.acquire_async({.owner = "test", .wait = false},
                              [&](const lp::Result<lp::ExecutorLease>& result) { text = result.error().message(); });
  stage.sim.run();
  CHECK_THAT(text, ContainsSubstring("no pool is free") && ContainsSubstring("\"simulation\""));
  taken.clear();
  stage.sim.run();
  CHECK(stage.acquire().active());
}

TEST_CASE("pools fail to start where the test says so, and take as long as it says", "[simulation]") {
  Simulation sim;
  sim.refuse_pools(true);
  Manager manager(sim.loop(), simulated::options());
  std::optional<Errc> why;
  const auto note = [&](const lp::Result<void>& result) {
    why = result ? Errc{} : static_cast<Errc>(result.error().code().value());
  };
  manager.start_async(note);
  sim.run();
  CHECK(why == Errc::pool_broken);
  sim.refuse_pools(false);
  sim.set_start_duration(3s);
  why.reset();
  manager.start_async(note);
  sim.advance(2s);
  CHECK_FALSE(why.has_value());
  sim.advance(1s);
  CHECK(why == Errc{});
}

TEST_CASE("a test that is a task lets time pass by sleeping, which takes none", "[simulation]") {
  Simulation sim;
  const auto real_begin = std::chrono::steady_clock::now();
  const lp::TimePoint begin = sim.now();
  const auto body = [](Simulation& simulation) -> lp::Task<int> {
    lp::ManagerOptions options = simulated::options(ExecutorBackend::thread);
    Manager manager(simulation.loop(), options);
    co_await manager.start();
    simulation.set_call_duration(30min);
    lp::ExecutorLease lease = co_await manager.acquire({.owner = "test", .lease_duration = 2h});
    auto race = lp::when_any(lease.run([] { return 1; }), lease.with({.timeout = 1h}).run([] { return 2; }));
    const auto first = co_await race;
    co_await simulation.loop().sleep(30min);
    lease.release();
    co_await manager.stop();
    co_return static_cast<int>(first.index());
  };
  CHECK(sim.loop().block_on(body(sim)) == 0);
  CHECK(sim.now() - begin >= 1h);
  CHECK(sim.now() - begin < 2h);
  CHECK(std::chrono::steady_clock::now() - real_begin < 30min);
}

TEST_CASE("a simulated loop does not wait for what does not come", "[simulation]") {
  Stage stage;
  stage.sim.set_call_duration(lp::Duration::max());
  lp::ManagerOptions options = simulated::options();
  options.check_interval = lp::Duration::max();
  Manager other(stage.sim.loop(), options);
  const auto body = [](Manager& manager) -> lp::Task<> {
    co_await manager.start();
    lp::ExecutorLease lease = co_await manager.acquire({.owner = "test", .lease_duration = lp::Duration::max()});
    (void)co_await lease.run(square, 1);
  };
  bool stopped = false;
  stage.manager.stop_async([&](const lp::Result<void>&) { stopped = true; });
  stage.sim.run();
  CHECK(stopped);
  CHECK_THROWS_AS(stage.sim.loop().block_on(body(other)), std::logic_error);
}

TEST_CASE("a simulated process manager takes registered functions alone", "[simulation]") {
  Stage stage;
  lp::ExecutorLease lease = stage.acquire();
  std::vector<std::error_code> codes;
  const auto note = [&](const lp::Result<int>& result) { codes.push_back(result.error().code()); };
  lease.run_async([] { return 1; }, note);
  lease.run_async(simulated::not_registered, 1, note);
  stage.sim.run();
  CHECK(codes == std::vector<std::error_code>(2, Errc::unregistered_function));
}

TEST_CASE("a simulated pool runs its initializer, and its functions find what that made", "[simulation]") {
  lp::ManagerOptions options = simulated::options(both_backends());
  options.initializer = lp::Initializer(simulated::load);
  Stage stage(options);
  REQUIRE(stage.started);
  lp::ExecutorLease lease = stage.acquire();
  std::vector<int> uses;
  for (int i = 0; i < 2; ++i) {
    lease.run_async(simulated::use, [&](const lp::Result<int>& result) { uses.push_back(result.value()); });
  }
  stage.sim.run();
  CHECK(uses == std::vector{1, 2});
}

TEST_CASE("a simulated grinder's batch goes by its age", "[simulation]") {
  Stage stage;
  lp::WorkGrinder grinder(stage.manager, {.batch_size_threshold = 10, .max_wait = 1min});
  grinder.start_async([](const lp::Result<void>&) {});
  stage.sim.run();
  Outcome outcome;
  grinder.submit_async(square, 6, outcome.callback());
  stage.sim.advance(59s);
  CHECK_FALSE(outcome.result.has_value());
  stage.sim.advance(1s);
  CHECK(outcome.is(36));
}
