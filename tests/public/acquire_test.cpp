// Contract, section Acquire: pools on demand, waiting in order, and giving up.
#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "support.hpp"
#include "want_of.hpp"

TEST_CASE("A1: min_pools exist after start, and more are made on demand up to max_pools", "[A1]") {
  lp::ManagerOptions options = options_for(both_backends(), 3, 1);
  options.min_pools = 2;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    CHECK(manager.total_count() == 2);
    CHECK(manager.available_count() == 2);
    std::vector<lp::ExecutorLease> leases;
    for (std::size_t i = 1; i <= 3; ++i) {
      leases.push_back(co_await manager.acquire());
      CHECK(manager.leased_count() == i);
      CHECK(manager.total_count() == std::max<std::size_t>(2, i));
    }
    const auto fourth = co_await failure_of(manager.acquire({.wait = false}));
    CHECK(fourth == Errc::lease_unavailable);
    bool served = false;
    manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease> lease) { served = lease.has_value(); });
    CHECK(manager.total_count() == 3);
    leases.clear();
    co_await until(loop, [&] { return served; });
  });
}

namespace {

// Nothing to make another pool of.
class NoMorePools {
 public:
  explicit NoMorePools(ExecutorBackend backend) {
    if (backend == ExecutorBackend::thread) threads_.emplace();
    if (backend == ExecutorBackend::process) descriptors_.emplace(0);
  }

 private:
  std::optional<WantOfThreads> threads_;
  std::optional<WantOfDescriptors> descriptors_;
};

}  // namespace

TEST_CASE("A1: when no other pool can be made, who waits gets one of those that there are", "[A1]") {
  auto failures = std::make_shared<int>(0);
  lp::ManagerOptions options = options_for(both_backends(), 2, 1);
  options.log = [failures](const lp::LogRecord& record) {
    if (record.text.find("a pool cannot be started") != std::string_view::npos) ++*failures;
  };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto held = std::make_optional(co_await manager.acquire());
    std::optional<lp::Result<lp::ExecutorLease>> lease;
    {
      const NoMorePools want(manager.backend());
      manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease> result) { lease = std::move(result); });
      co_await until(loop, [&] { return *failures == 1; });
    }
    CHECK_FALSE(lease.has_value());
    CHECK(manager.stats().waiters.size() == 1);
    held.reset();
    co_await until(loop, [&] { return lease.has_value(); });
    CHECK(lease->has_value());
    lease.reset();
  });
}

TEST_CASE("A1: a pool that cannot be made is tried again every check_interval, and goes to who waits for it", "[A1]") {
  auto failures = std::make_shared<int>(0);
  lp::ManagerOptions options = options_for(both_backends(), 2, 1);
  options.check_interval = 5ms;
  options.log = [failures](const lp::LogRecord& record) {
    if (record.text.find("a pool cannot be started") != std::string_view::npos) ++*failures;
  };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    const auto held = co_await manager.acquire();
    std::optional<lp::Result<lp::ExecutorLease>> lease;
    {
      const NoMorePools want(manager.backend());
      const auto before = std::chrono::steady_clock::now();
      manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease> result) { lease = std::move(result); });
      co_await until(loop, [&] { return *failures >= 3; });
      CHECK(std::chrono::steady_clock::now() - before >= 10ms);  // two intervals
    }
    CHECK_FALSE(lease.has_value());
    co_await until(loop, [&] { return lease.has_value(); });
    CHECK(lease->has_value());
    CHECK(held.active());  // nobody gave one back
    lease.reset();
  });
}

TEST_CASE("A1: when no pool can be made and none is left, the acquire fails with pool_broken", "[A1]") {
  lp::ManagerOptions options = options_for(both_backends(), 1, 1);
  options.lease_grace = 0s;
  on_manager(options, [](Manager& manager) -> lp::Task<> {
    const auto held = co_await manager.acquire({.lease_duration = 1ms});
    {
      const NoMorePools want(manager.backend());
      const auto code = co_await failure_of(manager.acquire());
      CHECK(code == Errc::pool_broken);
    }
  });
}

TEST_CASE("A2: with every pool leased, waiters are served first come, first served", "[A2]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto held = std::make_optional(co_await manager.acquire());
    std::vector<int> order;
    for (int i = 0; i < 20; ++i) {
      manager.acquire_async({}, [&order, i](lp::Result<lp::ExecutorLease> lease) {
        REQUIRE(lease);
        order.push_back(i);  // the lease ends here, and the next in line has it
      });
    }
    co_await loop.sleep(1ms);
    CHECK(order.empty());
    CHECK(manager.stats().waiters.size() == 20);
    held.reset();
    co_await until(loop, [&] { return order.size() == 20; });
    CHECK(std::is_sorted(order.begin(), order.end()));
    CHECK(manager.available_count() == 1);
  });
}

TEST_CASE("A2: who comes while others wait goes behind them, also when a pool is just given back", "[A2]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto held = std::make_optional(co_await manager.acquire());
    std::string order;
    manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease>) { order += 'a'; });
    held.reset();  // promised to a in this very turn
    manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease>) { order += 'b'; });
    std::optional<Errc> impatient;
    manager.acquire_async({.wait = false}, [&](lp::Result<lp::ExecutorLease> lease) {
      impatient = static_cast<Errc>(lease.error().code().value());
    });
    co_await until(loop, [&] { return order.size() == 2 && impatient; });
    CHECK(order == "ab");
    CHECK(impatient == Errc::lease_unavailable);
  });
}

TEST_CASE("A3: wait = false fails at once and names max_pools and each holder with its age", "[A3]") {
  on_manager(options_for(both_backends(), 2, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto first = co_await manager.acquire({.owner = "report-builder", .wait = false});  // idle
    auto second = co_await manager.acquire({.owner = "thumbnailer", .wait = false});    // made for it
    CHECK(manager.total_count() == 2);
    co_await loop.sleep(2ms);
    const auto code = co_await failure_of(manager.acquire({.wait = false}));
    CHECK(code == Errc::lease_unavailable);
    const std::string message = co_await message_of(manager.acquire({.owner = "late", .wait = false}));
    CHECK_THAT(message, ContainsSubstring("max_pools = 2"));
    CHECK_THAT(message, ContainsSubstring("\"report-builder\" for "));
    CHECK_THAT(message, ContainsSubstring("\"thumbnailer\" for "));
    CHECK_THAT(message, ContainsSubstring("\"late\""));
    CHECK_THAT(message, !ContainsSubstring(" for 0 "));  // their ages
    CHECK(message.find("report-builder") < message.find("thumbnailer"));
    CHECK(manager.stats().waiters.empty());
  });
}

TEST_CASE("A3: who does not wait is told of each holder, who waits in vain of the eight oldest", "[A3]") {
  on_manager(options_for(both_backends(), 10, 1), [](Manager& manager) -> lp::Task<> {
    std::vector<lp::ExecutorLease> leases;
    for (int i = 0; i < 10; ++i) {
      const std::string owner = "holder " + std::to_string(i);
      leases.push_back(co_await manager.acquire({.owner = owner}));
    }
    const std::string at_once = co_await message_of(manager.acquire({.wait = false}));
    const std::string in_vain = co_await message_of(manager.acquire({.timeout = 1ms}));
    for (int i = 0; i < 10; ++i) {
      const std::string holder = "\"holder " + std::to_string(i) + "\" for ";
      CHECK_THAT(at_once, ContainsSubstring(holder));
      CHECK((in_vain.find(holder) != std::string::npos) == (i < 8));
    }
    CHECK_THAT(at_once, !ContainsSubstring(" more"));
    CHECK_THAT(in_vain, ContainsSubstring(", and 2 more"));
    leases.clear();
  });
}

TEST_CASE("A3: wait = false fails when its pool cannot be made, also with somebody behind it who waits", "[A3]") {
  on_manager(options_for(both_backends(), 3, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    const auto held = co_await manager.acquire();
    std::optional<Errc> refused;
    {
      const NoMorePools want(manager.backend());
      manager.acquire_async({.wait = false}, [&](lp::Result<lp::ExecutorLease> lease) {
        refused = static_cast<Errc>(lease.error().code().value());
      });
      manager.acquire_async({}, [](const lp::Result<lp::ExecutorLease>&) {});
      co_await until(loop, [&] { return manager.stats().starting == 0; });
      co_await loop.sleep(0ns);
    }
    CHECK(refused == Errc::pool_broken);
  });
}

TEST_CASE("A4: a timeout fails with timed_out, and never early", "[A4]") {
  on_manager(options_for(both_backends(), 1, 1), [](Manager& manager) -> lp::Task<> {
    auto held = co_await manager.acquire({.owner = "holder"});
    for (const auto timeout : {1ms, 3ms, 10ms}) {
      const auto before = std::chrono::steady_clock::now();
      const std::string message = co_await message_of(manager.acquire({.owner = "waiter", .timeout = timeout}));
      CHECK(std::chrono::steady_clock::now() - before >= timeout);
      CHECK_THAT(message, ContainsSubstring("\"holder\""));
      CHECK_THAT(message, ContainsSubstring("\"waiter\""));
    }
    const auto code = co_await failure_of(manager.acquire({.timeout = 1ms}));
    CHECK(code == Errc::timed_out);
    CHECK(manager.stats().waiters.empty());
  });
}

TEST_CASE("A4: 10,000 time-outs racing hand-overs lose no capacity", "[A4]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    int got = 0;
    int timed_out = 0;
    for (int round = 0; round < 10'000; ++round) {
      auto held = std::make_optional(co_await manager.acquire());
      bool ended = false;
      manager.acquire_async({.timeout = 20us}, [&](lp::Result<lp::ExecutorLease> lease) {
        ++(lease ? got : timed_out);
        ended = true;
      });
      // Given back about when the time is up; every tenth time on the very turn that finds it up.
      const auto release =
          loop.call_after(round % 10 == 0 ? 20us : std::chrono::microseconds(10 + round % 21), [&] { held.reset(); });
      while (!ended || held) co_await loop.sleep(0ns);
      REQUIRE(manager.available_count() == 1);
      REQUIRE(manager.leased_count() == 0);
    }
    CHECK(got + timed_out == 10'000);
    CHECK(got > 0);
    CHECK(timed_out > 0);
  });
}

TEST_CASE("A5: a waiter that is destroyed leaves the queue", "[A5]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto held = std::make_optional(co_await manager.acquire());
    {
      // A branch that waits for a lease dies with the one that throws.
      lp::Loop* const running = &loop;
      std::optional<lp::Task<>> waiting;
      const auto wait_for_lease = [](lp::LeasedExecutorManager& from) -> lp::Task<> { (void)co_await from.acquire(); };
      waiting.emplace(wait_for_lease(manager));
      begin(*waiting);
      CHECK(manager.stats().waiters.size() == 1);
      waiting.reset();
      CHECK(manager.stats().waiters.empty());
      co_await running->sleep(0ns);
    }
    held.reset();
    CHECK(manager.available_count() == 1);
  });
}

TEST_CASE("A5: a waiter destroyed when it has just been given a pool passes it on", "[A5]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto held = std::make_optional(co_await manager.acquire());
    const auto wait_for_lease = [](lp::LeasedExecutorManager& from) -> lp::Task<> { (void)co_await from.acquire(); };
    std::optional<lp::Task<>> first(wait_for_lease(manager));
    begin(*first);
    bool second = false;
    manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease> lease) { second = lease.has_value(); });
    held.reset();   // the first has the pool now, but has not heard of it
    first.reset();  // and never will
    co_await until(loop, [&] { return second; });
    CHECK(manager.available_count() == 1);
    CHECK(manager.leased_count() == 0);
  });
}

TEST_CASE("A6: durations that are zero or negative are invalid, and the longest one means never", "[A6]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    const auto refused = [&](auto change, const std::string& field) {
      lp::ManagerOptions options = options_for(backend);
      change(options);
      try {
        const lp::LeasedExecutorManager manager(loop, options);
      } catch (const std::invalid_argument& error) {
        CHECK_THAT(error.what(), ContainsSubstring(field));
        return true;
      }
      return false;
    };
    CHECK(refused([](auto& o) { o.default_lease_duration = 0s; }, "default_lease_duration"));
    CHECK(refused([](auto& o) { o.default_lease_duration = -1s; }, "default_lease_duration"));
    CHECK(refused([](auto& o) { o.check_interval = 0s; }, "check_interval"));
    CHECK(refused([](auto& o) { o.lease_grace = -1ns; }, "lease_grace"));
    CHECK_FALSE(refused([](auto& o) { o.lease_grace = 0s; }, "lease_grace"));

    lp::ManagerOptions options = options_for(backend);
    options.default_lease_duration = lp::Duration::max();
    options.lease_grace = lp::Duration::max();
    options.check_interval = lp::Duration::max();
    options.stop_timeout = lp::Duration::max();
    co_await with_manager(loop, options, [](Manager& manager) -> lp::Task<> {
      CHECK_THROWS_AS(manager.acquire({.lease_duration = 0s}), std::invalid_argument);
      CHECK_THROWS_AS(manager.acquire({.timeout = -1s}), std::invalid_argument);
      CHECK_THROWS_AS(manager.acquire({.timeout = lp::Duration::min()}), std::invalid_argument);
      {
        auto lease = co_await manager.acquire({.timeout = lp::Duration::max()});
        CHECK(lease.soft_expires_at() == lp::TimePoint::max());
        CHECK(lease.hard_expires_at() == lp::TimePoint::max());
        CHECK_THROWS_AS(lease.with({.timeout = 0s}), std::invalid_argument);
        CHECK_THROWS_AS(lease.extend(0s), std::invalid_argument);
        const std::uint64_t four = co_await lease.with({.timeout = lp::Duration::max()}).run(square, 2);
        CHECK(four == 4);
      }
    });
  });
}

TEST_CASE("A7: max_waiters bounds the queue", "[A7]") {
  lp::ManagerOptions options = options_for(both_backends(), 1, 1);
  options.max_waiters = 3;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto held = std::make_optional(co_await manager.acquire());
    int served = 0;
    for (int i = 0; i < 3; ++i) {
      manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease> lease) { served += lease ? 1 : 0; });
    }
    const std::string message = co_await message_of(manager.acquire());
    CHECK_THAT(message, ContainsSubstring("max_waiters = 3"));
    const auto code = co_await failure_of(manager.acquire());
    CHECK(code == Errc::lease_unavailable);
    held.reset();
    co_await until(loop, [&] { return served == 3; });
    auto again = co_await manager.acquire();  // there is room once more
    CHECK(again.active());
    again.release();
  });
}
