// Contract, section Sizing: how many pools there are.
#include <limits>
#include <stdexcept>
#include <vector>

#include "support.hpp"

TEST_CASE("S1: the target follows size_provider between min_pools and max_pools", "[S1]") {
  std::size_t units = 25;
  lp::ManagerOptions options = options_for(both_backends(), 4, 1);
  options.min_pools = 2;
  options.units_per_pool = 10;
  options.size_provider = [&] { return units; };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    CHECK(manager.total_count() == 3);
    const std::vector<std::pair<std::size_t, std::size_t>> expected = {
        {0, 2},  {1, 2},  {20, 2},
        {21, 3}, {30, 3}, {31, 4},
        {40, 4}, {41, 4}, {std::numeric_limits<std::size_t>::max(), 4}};
    for (const auto& [size, target] : expected) {
      const std::size_t before = manager.desired_executor_count();
      units = size;
      CHECK(manager.desired_executor_count() == before);  // to ask for it runs nothing of the program's
      manager.notify_scale_changed();
      co_await until(loop, [&] { return manager.desired_executor_count() == target; });
    }
  });

  options.size_provider = nullptr;
  on_manager(options, [](Manager& unasked) -> lp::Task<> {
    CHECK(unasked.desired_executor_count() == 2);
    CHECK(unasked.total_count() == 2);
    co_return;
  });
}

TEST_CASE("S2: notify_scale_changed acts at once", "[S2]") {
  std::size_t units = 0;
  lp::ManagerOptions options = options_for(both_backends(), 4, 1);
  options.size_provider = [&] { return units; };
  options.check_interval = 3600s;
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    CHECK(manager.total_count() == 1);
    units = 35;
    manager.notify_scale_changed();
    for (int turns = 0; turns < 2; ++turns) co_await loop.sleep(0ns);  // what is posted has its turn behind the timers
    CHECK(manager.total_count() == 4);
    co_await until(loop, [&] { return manager.available_count() == 4; });
    units = 12;
    manager.notify_scale_changed();
    for (int turns = 0; turns < 2; ++turns) co_await loop.sleep(0ns);
    CHECK(manager.total_count() == 2);
    CHECK(manager.available_count() == 2);
  });
}

TEST_CASE("S2: without a notification, check_interval finds the change", "[S2]") {
  std::size_t units = 0;
  lp::ManagerOptions options = options_for(both_backends(), 4, 1);
  options.size_provider = [&] { return units; };
  options.check_interval = 5ms;
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    units = 35;
    co_await until(loop, [&] { return manager.available_count() == 4; });
    units = 0;
    co_await until(loop, [&] { return manager.total_count() == 1; });
  });
}

TEST_CASE("S3: idle pools above the target go, leased ones only when they are released", "[S3]") {
  std::size_t units = 40;
  lp::ManagerOptions options = options_for(both_backends(), 4, 1);
  options.size_provider = [&] { return units; };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto first = co_await manager.acquire();
    auto second = co_await manager.acquire();
    units = 0;
    manager.notify_scale_changed();
    co_await until(loop, [&] { return manager.available_count() == 0; });
    CHECK(manager.total_count() == 2);
    CHECK(first.active());
    CHECK(second.active());
    const std::uint64_t nine = co_await second.run(square, 3);
    CHECK(nine == 9);
    first.release();
    CHECK(manager.total_count() == 1);
    second.release();
    CHECK(manager.total_count() == 1);
    CHECK(manager.available_count() == 1);
  });
}

TEST_CASE("S3: a leased pool above the target goes to who waits for one", "[S3]") {
  std::size_t units = 20;
  lp::ManagerOptions options = options_for(both_backends(), 2, 1);
  options.size_provider = [&] { return units; };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto first = co_await manager.acquire();
    auto second = co_await manager.acquire();
    std::optional<lp::ExecutorLease> waiter;
    manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease> lease) { waiter = std::move(*lease); });
    units = 0;
    manager.notify_scale_changed();
    co_await until(loop, [&] { return manager.stats().desired == 1; });
    first.release();
    co_await until(loop, [&] { return waiter.has_value(); });
    CHECK(manager.stats().workers_started == 2);  // the same pool, not another one
    waiter.reset();
    CHECK(manager.total_count() == 1);
    second.release();
    CHECK(manager.available_count() == 1);
  });
}

TEST_CASE("S3: a pool that nobody wants any more when it is ready goes at once", "[S3]") {
  std::size_t units = 0;
  lp::ManagerOptions options = options_for(both_backends(), 4, 1);
  options.size_provider = [&] { return units; };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    units = 40;
    manager.notify_scale_changed();
    co_await until(loop, [&] { return manager.total_count() == 4; });
    units = 0;  // processes are still on their way
    manager.notify_scale_changed();
    co_await until(loop, [&] { return manager.stats().desired == 1; });
    co_await until(loop, [&] { return manager.stats().starting == 0; });
    CHECK(manager.total_count() == 1);

    const auto held = co_await manager.acquire();
    const auto code = co_await failure_of(manager.acquire({.timeout = 1ns}));
    CHECK(code == Errc::timed_out);
    co_await until(loop, [&] { return manager.stats().starting == 0; });
    CHECK(manager.available_count() == 0);
  });
}

TEST_CASE("S4: a size_provider that throws counts as 0 and is logged once", "[S4]") {
  int logged = 0;
  int asked = 0;
  lp::ManagerOptions options = options_for(both_backends(), 4, 1);
  options.min_pools = 2;
  options.size_provider = [&]() -> std::size_t {
    if (++asked == 1) return 40;
    throw std::runtime_error("no connection to the queue");
  };
  options.log = [&](const lp::LogRecord& record) {
    if (record.level == lp::LogLevel::warning &&
        record.text.find("no connection to the queue") != std::string_view::npos)
      ++logged;
  };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    CHECK(manager.total_count() == 4);
    for (int i = 0; i < 5; ++i) {
      const int before = asked;
      manager.notify_scale_changed();
      co_await until(loop, [&] { return asked > before; });
      CHECK(manager.total_count() == 2);
    }
    CHECK(manager.desired_executor_count() == 2);
    CHECK(logged == 1);
  });
}
