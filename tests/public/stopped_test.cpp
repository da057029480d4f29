// Contract, X6: what becomes of deadlines that pass while the program, or its loop, is stopped.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"

namespace {

// Stops this process for a while from another one, which nothing here needs to be single-threaded for.
void stop_for(std::chrono::milliseconds span) {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    ::kill(parent, SIGSTOP);
    ::usleep(static_cast<useconds_t>(std::chrono::microseconds(span).count()));
    ::kill(parent, SIGCONT);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
}

}  // namespace

TEST_CASE("X6: after the parent was stopped past deadlines, each is handled once, in order, and nobody is blamed",
          "[X6]") {
  lp::ManagerOptions options = options_for(both_backends(), 3, 1);
  options.min_pools = 3;
  options.lease_grace = 0s;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto first = co_await manager.acquire({.lease_duration = 60ms});
    auto second = co_await manager.acquire({.lease_duration = 40ms});
    auto patient = co_await manager.acquire({.lease_duration = 60s});
    std::vector<int> order;
    open_gate();
    // Ends while we are stopped; its timeout passes while we are stopped too, but it was in time.
    std::optional<lp::Result<std::uint64_t>> finished;
    patient.with({.timeout = 50ms}).run_async(square, 5, [&](lp::Result<std::uint64_t> r) { finished = std::move(r); });
    const auto timer_late = loop.call_after(60ms, [&] { order.push_back(3); });
    const auto timer_early = loop.call_after(20ms, [&] { order.push_back(1); });
    const auto timer_middle = loop.call_after(40ms, [&] { order.push_back(2); });
    co_await loop.sleep(0ns);
    stop_for(100ms);
    co_await until(loop, [&] { return finished && order.size() == 3 && !first.active() && !second.active(); });
    CHECK(order == std::vector<int>{1, 2, 3});
    CHECK(finished->value() == 25);
    CHECK(patient.active());
    CHECK(manager.stats().leases_revoked == 2);
    CHECK(manager.stats().workers_crashed == 0);
    co_await loop.sleep(1ms);
    CHECK(manager.stats().leases_revoked == 2);
    patient.release();
  });
}

// The loop's thread is stopped between the end of a function and the turn that would have heard of it.
TEST_CASE("X6: a call whose function ended in time has not timed out, though its loop was stopped meanwhile", "[X6]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    lp::ManagerOptions options = options_for(backend, 1, 1);
    options.stop_timeout = 500ms;
    lp::LeasedExecutorManager manager(loop, options);
    co_await manager.start();
    const auto lease = co_await manager.acquire();
    const auto end_and_stop = [] {
      open_gate();
      while (shared().left == 0) ::usleep(100);
      ::usleep(2000);  // its outcome is on its way
      stop_for(700ms);
    };
    std::optional<lp::Result<int>> outcome;
    lease.with({.timeout = 500ms}).run_async(pass_gate, 1, [&](lp::Result<int> result) {
      outcome = std::move(result);
    });
    co_await until_entered(loop, 1);
    co_await loop.sleep(5ms);
    loop.post(end_and_stop);
    co_await until(loop, [&] { return outcome.has_value(); });
    CHECK(outcome->has_value());

    close_gate();
    outcome.reset();
    lease.run_async(pass_gate, 2, [&](lp::Result<int> result) { outcome = std::move(result); });
    co_await until_entered(loop, 1);
    bool stopped = false;
    manager.stop_async([&](const lp::Result<void>&) { stopped = true; });
    co_await loop.sleep(0ns);
    loop.post(end_and_stop);
    co_await until(loop, [&] { return outcome.has_value() && stopped; });
    CHECK(outcome->has_value());
  });
}

// In the order of their deadlines: one is overdue, then revoked, and only then is the other one overdue.
TEST_CASE("X6: the grace that follows a lease's soft expiry ends in its place among the other deadlines", "[X6]") {
  auto lines = std::make_shared<std::vector<std::string>>();
  lp::ManagerOptions options = options_for(both_backends(), 2, 1);
  options.lease_grace = 20ms;
  options.log = [lines](const lp::LogRecord& record) {
    const bool first = record.text.find("\"first\"") != std::string_view::npos;
    const bool overdue = record.text.find("past its soft expiry") != std::string_view::npos;
    if (!overdue && record.text.find("was revoked") == std::string_view::npos) return;
    lines->push_back(std::string(first ? "first " : "second ") + (overdue ? "overdue" : "revoked"));
  };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto first = co_await manager.acquire({.owner = "first"});
    auto second = co_await manager.acquire({.owner = "second"});
    std::optional<lp::Result<lp::ExecutorLease>> waited;
    loop.post([&] {
      first.extend(10ms);
      second.extend(60ms);
      manager.acquire_async({.owner = "waiter", .timeout = 50ms},
                            [&](lp::Result<lp::ExecutorLease> result) { waited = std::move(result); });
      stop_for(120ms);
    });
    co_await until(loop, [&] { return waited && !first.active() && !second.active(); });
    CHECK(*lines == std::vector<std::string>{"first overdue", "first revoked", "second overdue", "second revoked"});
    REQUIRE_FALSE(waited->has_value());
    CHECK(waited->error().code() == Errc::timed_out);
    CHECK_THAT(waited->error().message(), ContainsSubstring("held by \"second\" for "));  // no longer by the first
    CHECK(manager.stats().leases_revoked == 2);
  });
}

namespace {

// Opens the gate, and comes back when so many calls have ended and their outcomes are on their way.
void let_end(int calls) {
  open_gate();
  while (shared().left < calls) ::usleep(100);
  ::usleep(20'000);
}

}  // namespace

TEST_CASE("X6: however many functions ended in time while the loop was stopped, none is blamed", "[X6]") {
  constexpr int kCalls = 80;  // more than the kernel hands over at once
  constexpr auto kTimeout = 2s;
  on_manager(options_for(both_backends(), 1, kCalls), [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    const auto lease = co_await manager.acquire();
    int ended = 0;
    int in_time = 0;
    for (int i = 0; i < kCalls; ++i) {
      lease.with({.timeout = kTimeout}).run_async(pass_gate, i, [&](const lp::Result<int>& result) {
        ++ended;
        in_time += result ? 1 : 0;
      });
    }
    co_await until_entered(loop, kCalls);
    loop.post([&] {
      const auto all_late = std::chrono::steady_clock::now() + kTimeout;
      let_end(kCalls);
      std::this_thread::sleep_until(all_late);
    });
    co_await until(loop, [&] { return ended == kCalls; });
    CHECK(in_time == kCalls);
    CHECK(manager.stats().workers_killed == 0);
  });
}

TEST_CASE("X6: a call that ended before its lease's hard expiry was handled has its result, be it large", "[X6]") {
  constexpr int kCalls = 8;
  constexpr int kLarge = 150'000;  // more than is read at once
  lp::ManagerOptions options = options_for(both_backends(), 1, kCalls);
  options.lease_grace = 0s;
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    int ended = 0;
    int in_time = 0;
    for (int i = 0; i < kCalls; ++i) {
      lease.run_async(text_past_gate, i == 0 ? kLarge : 10, [&](const lp::Result<std::string>& result) {
        ++ended;
        in_time += result ? 1 : 0;
      });
    }
    co_await until_entered(loop, kCalls);
    loop.post([&] {
      lease.extend(1ms);
      let_end(kCalls);
    });
    co_await until(loop, [&] { return ended == kCalls; });
    CHECK(in_time == kCalls);
    CHECK_FALSE(lease.active());
  });
}
