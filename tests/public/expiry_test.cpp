// Contract, section Expiry: deadlines that hold by themselves.
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "support.hpp"
#include "support/sleeps.hpp"

TEST_CASE("X1: soft expiry is the lease's duration, hard expiry the grace later, both readable", "[X1]") {
  lp::ManagerOptions options = options_for(both_backends(), 2);
  options.default_lease_duration = 40s;
  options.lease_grace = 7s;
  on_manager(options, [](Manager& manager) -> lp::Task<> {
    const lp::TimePoint before = std::chrono::steady_clock::now();
    auto by_default = co_await manager.acquire();
    auto by_choice = co_await manager.acquire({.owner = "chosen", .lease_duration = 90s});
    const lp::TimePoint after = std::chrono::steady_clock::now();
    CHECK(by_default.soft_expires_at() >= before + 40s);
    CHECK(by_default.soft_expires_at() <= after + 40s);
    CHECK(by_default.hard_expires_at() - by_default.soft_expires_at() == 7s);
    CHECK(by_choice.soft_expires_at() >= before + 90s);
    CHECK(by_choice.soft_expires_at() <= after + 90s);
    const lp::ManagerStats stats = manager.stats();
    REQUIRE(stats.leases.size() == 2);
    CHECK(stats.leases[1].owner == "chosen");
    CHECK(stats.leases[1].until_soft_expiry > 80s);
    CHECK(stats.leases[1].until_soft_expiry <= 90s);
    CHECK(stats.leases[1].until_hard_expiry - stats.leases[1].until_soft_expiry == 7s);
    by_default.release();
    by_choice.release();
  });
}

TEST_CASE("X1: at soft expiry the log says once who holds what for how long and from where; without grace, nothing",
          "[X1]") {
  const ExecutorBackend backend = both_backends();
  for (const lp::Duration grace : {lp::Duration(10ms), lp::Duration(0)}) {
    auto lines = std::make_shared<std::vector<std::string>>();
    auto revocations = std::make_shared<std::vector<std::string>>();
    lp::ManagerOptions options = options_for(backend, 1, 1);
    options.lease_grace = grace;
    options.log = [lines, revocations](const lp::LogRecord& record) {
      if (record.level != lp::LogLevel::warning) return;
      if (record.text.find("past its soft expiry") != std::string_view::npos) lines->emplace_back(record.text);
      if (record.text.find("was revoked") != std::string_view::npos) revocations->emplace_back(record.text);
    };
    on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
      const auto lease = co_await manager.acquire({.owner = "forgetful", .lease_duration = 5ms});
      if (grace != lp::Duration(0)) {
        co_await until(loop, [&] { return !lines->empty(); });
        const auto now = std::chrono::steady_clock::now();
        CHECK(now >= lease.soft_expires_at());
        CHECK((lease.active() || now >= lease.hard_expires_at()));  // not before the grace is over
      }
      co_await until(loop, [&] { return !lease.active(); });
      CHECK(std::chrono::steady_clock::now() >= lease.hard_expires_at());
      co_await until(loop, [&] { return !revocations->empty(); });
      REQUIRE(lines->size() == (grace == lp::Duration(0) ? 0U : 1U));
      for (const std::string& line : *lines) {
        CHECK_THAT(line, ContainsSubstring("\"forgetful\""));
        CHECK_THAT(line, ContainsSubstring("expiry_test.cpp:"));
        CHECK_THAT(line, !ContainsSubstring("soft expiry after 0 "));
      }
      REQUIRE(revocations->size() == 1);
      CHECK_THAT(revocations->front(), ContainsSubstring("\"forgetful\""));
      CHECK_THAT(revocations->front(), ContainsSubstring("acquired at ") && ContainsSubstring("expiry_test.cpp:"));
      CHECK_THAT(revocations->front(), ContainsSubstring("held for ") && !ContainsSubstring("held for 0 "));
    });
  }
}

TEST_CASE("E3, X2, X3: a lease of 10 ms is revoked by itself with a check_interval of 120 s, and replaced at once",
          "[E3][X2][X3]") {
  lp::ManagerOptions options = options_for(both_backends(), 1, 1);
  options.lease_grace = 0s;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    const int first = co_await lease.run(thread_id);
    lease.extend(10ms);
    co_await until(loop, [&] { return !lease.active(); });
    const lp::Duration late = std::chrono::steady_clock::now() - lease.hard_expires_at();
    CHECK(late >= 0s);
    CHECK(late < 5s);  // what a busy machine may add
    CHECK(manager.stats().leases_revoked == 1);
    co_await until(loop, [&] { return manager.total_count() == 1; });  // the replacement
    const auto code = co_await failure_of(lease.run(square, 2));
    CHECK(code == Errc::lease_expired);
    const std::string message = co_await message_of(lease.run(square, 2));
    CHECK_THAT(message, ContainsSubstring("revoked"));
    auto next = co_await manager.acquire();
    const int second = co_await next.run(thread_id);
    CHECK(first != second);  // never the same pool again
    CHECK(manager.stats().workers_started == 2);
    next.release();
  });
}

TEST_CASE("X2: with a lease, a call and a waiter whose time has not come, the loop sleeps in the kernel", "[X2]") {
  on_manager(options_for(both_backends(), 1, 1), [](Manager& manager) -> lp::Task<> {
    const auto lease = co_await manager.acquire({.lease_duration = 1h});
    manager.acquire_async({.timeout = 1h}, [](const lp::Result<lp::ExecutorLease>&) {});
    bool slept = false;
    std::thread observer([&slept, loop_thread = ::syscall(SYS_gettid)] {
      slept = leasepool::test::sleeps_through(loop_thread);
      open_gate();
    });
    const int value = co_await lease.with({.timeout = 1h}).run(pass_gate, 1);
    observer.join();
    CHECK(value == 1);
    CHECK(slept);
  });
}

TEST_CASE("X3: a waiter gets the replacement of a revoked pool without anybody releasing", "[X3]") {
  lp::ManagerOptions options = options_for(both_backends(), 1, 1);
  options.lease_grace = 0s;
  on_manager(options, [](Manager& manager) -> lp::Task<> {
    auto forgotten = co_await manager.acquire({.lease_duration = 10ms});
    auto lease = co_await manager.acquire({.timeout = 30s});
    CHECK(lease.active());
    CHECK_FALSE(forgotten.active());
    forgotten.release();  // of no effect any more
    CHECK(manager.leased_count() == 1);
    lease.release();
    CHECK(manager.available_count() == 1);
  });
}

TEST_CASE("X3: a waiter gets the replacement also of a pool above the target", "[X3]") {
  lp::ManagerOptions options = options_for(both_backends(), 2, 1);
  options.lease_grace = 0s;
  on_manager(options, [](Manager& manager) -> lp::Task<> {
    const auto kept = co_await manager.acquire({.lease_duration = 60s});
    const auto forgotten = co_await manager.acquire({.lease_duration = 10ms});
    {
      const auto lease = co_await manager.acquire();
      CHECK(lease.active());
      CHECK_FALSE(forgotten.active());
      CHECK(kept.active());
    }
  });
}

TEST_CASE("X3: the calls that end with a pool are delivered first, then its replacement is begun in the same turn",
          "[X3]") {
  lp::ManagerOptions options = options_for(both_backends(), 1, 1);
  options.lease_grace = 0s;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    std::optional<std::size_t> pools;
    lease.run_async(pass_gate, 1, [](const lp::Result<int>&) {});
    lease.run_async(pass_gate, 2, [&](const lp::Result<int>&) { pools = manager.total_count(); });
    co_await until_entered(loop, 1);
    lease.extend(5ms);
    co_await until(loop, [&] { return pools.has_value(); });
    CHECK(pools == 0U);
    CHECK(manager.total_count() == 1);
    open_gate();
  });
}

TEST_CASE("X4: at hard expiry processes are killed and their calls fail; threads run on and deliver", "[X4]") {
  lp::ManagerOptions options = options_for(both_backends(), 1, 1);
  options.lease_grace = 0s;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    std::optional<lp::Result<int>> running;
    std::optional<lp::Result<int>> queued;
    lease.run_async(pass_gate, 1, [&](lp::Result<int> result) { running = std::move(result); });
    lease.run_async(pass_gate, 2, [&](lp::Result<int> result) { queued = std::move(result); });
    co_await until_entered(loop, 1);
    lease.extend(20ms);
    co_await until(loop, [&] { return queued.has_value(); });
    CHECK(std::chrono::steady_clock::now() >= lease.hard_expires_at());
    CHECK(queued->error().code() == Errc::lease_expired);
    auto next = co_await manager.acquire();  // capacity is back although the function still runs
    const std::uint64_t nine = co_await next.run(square, 3);
    CHECK(nine == 9);
    if (manager.backend() == ExecutorBackend::process) {
      co_await until(loop, [&] { return running.has_value(); });
      CHECK(running->error().code() == Errc::lease_expired);
      open_gate();
      CHECK(shared().left == 0);
    } else {
      CHECK_FALSE(running);
      open_gate();
      co_await until(loop, [&] { return running.has_value(); });
      CHECK(running->value() == 1);
    }
    next.release();
  });
}

// How soon after it: bench/expiry.cpp.
TEST_CASE("X4: the caller hears of a hard expiry, and not before it", "[X4]") {
  lp::ManagerOptions options = options_for(ExecutorBackend::process, 1, 1);
  options.lease_grace = 0s;
  on_manager(options, [](Manager& manager) -> lp::Task<> {
    for (int round = 1; round <= 20; ++round) {
      auto lease = co_await manager.acquire({.lease_duration = 5ms});
      const auto code = co_await failure_of(lease.run(pass_gate, 1));
      CHECK(std::chrono::steady_clock::now() >= lease.hard_expires_at());
      CHECK(code == Errc::lease_expired);
    }
  });
}

TEST_CASE("X4: with four calls whose stacks were noted in the grace, each caller hears of it once, and not before it",
          "[X4]") {
  lp::ManagerOptions options = options_for(ExecutorBackend::process, 1, 4);
  options.lease_grace = 20ms;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    std::size_t stacks = 0;
    for (int round = 1; round <= 20; ++round) {
      auto lease = co_await manager.acquire();
      int heard = 0;
      lp::TimePoint first = lp::TimePoint::max();
      for (int i = 0; i < 4; ++i) {
        lease.run_async(pass_gate, i, [&](const lp::Result<int>& result) {
          first = std::min(first, std::chrono::steady_clock::now());
          stacks += !result && !result.error().stack().empty() ? 1U : 0U;
          ++heard;
        });
      }
      co_await until_entered(loop, 4);
      lease.extend(1ms);
      co_await until(loop, [&] { return heard == 4; });
      CHECK(first >= lease.hard_expires_at());
      close_gate();
    }
    CHECK(stacks > 0);
  });
}

TEST_CASE("E4, X4: a released lease that does not drain is revoked at its hard expiry all the same", "[E4][X4]") {
  lp::ManagerOptions options = options_for(both_backends(), 1, 1);
  options.lease_grace = 0s;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    bool ended = false;
    lease.run_async(pass_gate, 1, [&](lp::Result<int>) { ended = true; });
    co_await until_entered(loop, 1);
    lease.extend(20ms);
    lease.release();
    auto next = co_await manager.acquire();
    CHECK(manager.stats().leases_revoked == 1);
    open_gate();
    co_await until(loop, [&] { return ended; });
    next.release();
  });
}

TEST_CASE("X5: extend moves both deadlines, and fails on a revoked lease", "[X5]") {
  lp::ManagerOptions options = options_for(both_backends(), 1, 1);
  options.lease_grace = 5ms;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    lease.extend(20ms);
    const lp::TimePoint first_end = lease.hard_expires_at();
    lease.extend(60s);
    co_await until(loop, [&] { return std::chrono::steady_clock::now() > first_end + 1ms; });
    CHECK(lease.active());
    const lp::TimePoint now = std::chrono::steady_clock::now();
    lease.extend(60ms);  // from now, whatever it was before
    CHECK(lease.soft_expires_at() >= now + 60ms);
    CHECK(lease.soft_expires_at() <= std::chrono::steady_clock::now() + 60ms);
    CHECK(lease.hard_expires_at() - lease.soft_expires_at() == 5ms);
    co_await until(loop, [&] { return !lease.active(); });
    CHECK(std::chrono::steady_clock::now() >= now + 65ms);
    std::optional<Errc> code;
    try {
      lease.extend(1s);
    } catch (const lp::LeasePoolError& error) {
      code = static_cast<Errc>(error.code().value());
    }
    CHECK(code == Errc::lease_expired);
  });
}

TEST_CASE("X5: a lease extended after its soft expiry is whole again", "[X5]") {
  auto reports = std::make_shared<int>(0);
  lp::ManagerOptions options = options_for(both_backends(), 1, 1);
  options.lease_grace = 50ms;
  options.log = [reports](const lp::LogRecord& record) {
    if (record.text.find("past its soft expiry") != std::string_view::npos) ++*reports;
  };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    lp::ExecutorLease lease;
    int tries = 0;
    while (!lease.active()) {  // again if the machine was busy for all of the grace
      lease = co_await manager.acquire({.owner = "slow", .lease_duration = 5ms});
      ++tries;
      co_await until(loop, [&] { return *reports == tries; });
    }
    const lp::TimePoint first_end = lease.hard_expires_at();
    lease.extend(60s);
    co_await until(loop, [&] { return std::chrono::steady_clock::now() > first_end + 1ms; });
    CHECK(lease.active());
    CHECK(lease.soft_expires_at() > std::chrono::steady_clock::now() + 50s);
    const std::uint64_t nine = co_await lease.run(square, 3);
    CHECK(nine == 9);
    CHECK(*reports == tries);
    lease.release();
    std::optional<Errc> code;
    try {
      lease.extend(1s);
    } catch (const lp::LeasePoolError& error) {
      code = static_cast<Errc>(error.code().value());
    }
    CHECK(code == Errc::lease_expired);
  });
}
