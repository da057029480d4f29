// Contract, section Lifecycle: what is left when the loop is gone, and what other threads may not do.
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "support.hpp"

namespace {

// The code of what a call throws; none if it does not throw.
template <class Call>
std::optional<Errc> thrown_by(Call call) {
  try {
    call();
  } catch (const lp::LeasePoolError& error) {
    return static_cast<Errc>(error.code().value());
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("L6: without its loop a manager and a lease say not_started from the call, and no future hangs", "[L6]") {
  const ExecutorBackend backend = both_backends();
  CAPTURE(backend == ExecutorBackend::thread ? "thread" : "process");
  close_gate();
  auto loop = std::make_unique<lp::Loop>();
  lp::ManagerOptions options = options_for(backend, 1, 1);
  options.stop_timeout = 0s;
  lp::LeasedExecutorManager manager(*loop, options);
  lp::ExecutorLease lease = loop->block_on([](lp::LeasedExecutorManager& to_start) -> lp::Task<lp::ExecutorLease> {
    co_await to_start.start();
    co_return co_await to_start.acquire({.owner = "left over"});
  }(manager));
  int called = 0;
  std::future<int> in_flight = lease.submit(pass_gate, 1);
  lease.run_async(pass_gate, 2, [&](const auto&) { ++called; });
  manager.acquire_async({}, [&](const auto&) { ++called; });
  loop->block_on(until_entered(*loop, 1));
  loop.reset();
  open_gate();  // a thread that was abandoned ends

  CHECK_THROWS_AS(in_flight.get(), std::future_error);
  CHECK(called == 0);
  CHECK_FALSE(lease.active());
  CHECK(thrown_by([&] { (void)lease.run(square, 1); }) == Errc::not_started);
  CHECK(thrown_by([&] { lease.run_async(square, 1, [&](const auto&) { ++called; }); }) == Errc::not_started);
  CHECK(thrown_by([&] { (void)lease.submit(square, 1); }) == Errc::not_started);
  CHECK(thrown_by([&] { lease.extend(1s); }) == Errc::not_started);
  CHECK(thrown_by([&] { (void)manager.start(); }) == Errc::not_started);
  CHECK(thrown_by([&] { manager.stop_async([&](const auto&) { ++called; }); }) == Errc::not_started);
  CHECK(thrown_by([&] { (void)manager.acquire(); }) == Errc::not_started);
  std::thread([&] {
    std::future<std::uint64_t> late = lease.submit(square, 1);  // only its future can tell
    CHECK(thrown_by([&] { (void)late.get(); }) == Errc::not_started);
    manager.notify_scale_changed();
  }).join();
  CHECK(manager.total_count() == 0);
  CHECK(manager.stats().waiters.empty());
  lease.release();
  CHECK(called == 0);
}

TEST_CASE("L5: stats and counts are the loop thread's, and say so", "[L5]") {
  const ExecutorBackend backend = both_backends();
  on_manager(options_for(backend), [backend](Manager& manager) -> lp::Task<> {
    std::thread([&] {
      CHECK(thrown_by([&] { (void)manager.stats(); }) == Errc::wrong_thread);
      CHECK(thrown_by([&] { (void)manager.desired_executor_count(); }) == Errc::wrong_thread);
      CHECK(thrown_by([&] { (void)manager.available_count(); }) == Errc::wrong_thread);
      CHECK(thrown_by([&] { (void)manager.leased_count(); }) == Errc::wrong_thread);
      CHECK(thrown_by([&] { (void)manager.total_count(); }) == Errc::wrong_thread);
      CHECK(manager.backend() == backend);
    }).join();
    CHECK(manager.stats().available == 1);
    co_return;
  });
}
