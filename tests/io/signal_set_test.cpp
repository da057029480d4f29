// Tests of SignalSet, and of readable() and writable().
#include "leasepool/signal_set.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "io_support.hpp"

namespace signal_set_cases {

using leasepool::Errc;
using leasepool::Loop;
using leasepool::Result;
using leasepool::SignalSet;
using leasepool::Task;
using leasepool::test::Failure;
using leasepool::test::failure_of;
using leasepool::test::run;
using leasepool::test::void_failure_of;
using namespace std::chrono_literals;

bool is_blocked(int signal) {
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  return sigismember(&now, signal) == 1;
}

}  // namespace signal_set_cases

TEST_CASE("signals go to who waits, in order, each to one", "[signal_set][I7]") {
  using namespace signal_set_cases;
  Loop loop;
  SignalSet signals(loop, {SIGUSR1, SIGUSR2});
  std::vector<std::string> order;
  const leasepool::test::Watchdog watchdog("signals");
  for (int i = 0; i < 2; ++i) {
    signals.next_async([&, i](const Result<int>& signal) {
      order.push_back(std::to_string(i) + (signal.value() == SIGUSR1 ? " usr1" : " usr2"));
      if (order.size() == 2) loop.stop();
    });
  }
  REQUIRE(::raise(SIGUSR1) == 0);
  REQUIRE(::raise(SIGUSR2) == 0);
  loop.run();
  CHECK(order == std::vector<std::string>{"0 usr1", "1 usr2"});
}

TEST_CASE("the mask is as it was when the set is gone", "[signal_set][I7]") {
  using namespace signal_set_cases;
  Loop loop;
  sigset_t winch;
  sigemptyset(&winch);
  sigaddset(&winch, SIGWINCH);
  REQUIRE(pthread_sigmask(SIG_BLOCK, &winch, nullptr) == 0);
  {
    const SignalSet signals(loop, {SIGUSR1, SIGWINCH});
    CHECK(is_blocked(SIGUSR1));
    CHECK(is_blocked(SIGWINCH));
  }
  CHECK_FALSE(is_blocked(SIGUSR1));
  CHECK(is_blocked(SIGWINCH));
  REQUIRE(pthread_sigmask(SIG_UNBLOCK, &winch, nullptr) == 0);
}

TEST_CASE("a signal that a cancelled wait had taken goes to the next", "[signal_set][I3]") {
  using namespace signal_set_cases;
  Loop loop;
  SignalSet signals(loop, {SIGUSR1});
  run(loop, [&]() -> Task<> {
    for (int round = 0; round < 50; ++round) {
      REQUIRE(::raise(SIGUSR1) == 0);
      {
        auto waits = signals.next();
        auto sleeps = loop.sleep(std::chrono::microseconds(round * 2));
        auto first = leasepool::when_any(std::move(sleeps), std::move(waits));
        const auto which = co_await first;
        if (which.index() == 1) continue;
      }
      auto next = signals.next({.timeout = 20s});
      const int signal = co_await next;
      CHECK(signal == SIGUSR1);
    }
  });
}

TEST_CASE("a wait for a signal ends at its timeout and with its set", "[signal_set][I2]") {
  using namespace signal_set_cases;
  Loop loop;
  std::optional<SignalSet> signals;
  signals.emplace(loop, std::initializer_list<int>{SIGUSR1});
  run(loop, [&]() -> Task<> {
    const Failure late = co_await failure_of(signals->next({.timeout = 10ms}));
    CHECK(late.code == Errc::timed_out);
    const auto timer = loop.call_after(1ms, [&] { signals.reset(); });
    const Failure gone = co_await failure_of(signals->next());
    CHECK(gone.code == Errc::cancelled);
  });
}

TEST_CASE("what is no signal that can be taken is refused by its number", "[signal_set]") {
  using namespace signal_set_cases;
  Loop loop;
  CHECK_THROWS_WITH(SignalSet(loop, {SIGKILL}), ContainsSubstring("signal = 9"));
  CHECK_THROWS_WITH(SignalSet(loop, {SIGSEGV}), ContainsSubstring("signal = 11"));
  CHECK_THROWS_WITH(SignalSet(loop, {0}), ContainsSubstring("signal = 0"));
  CHECK_THROWS_WITH(SignalSet(loop, {1000}), ContainsSubstring("signal = 1000"));
  CHECK_THROWS_AS(SignalSet(loop, {}), std::invalid_argument);
}

namespace signal_functions {

bool blocks_usr1() {
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  return sigismember(&now, SIGUSR1) == 1;
}

}  // namespace signal_functions

LEASEPOOL_REGISTER(signal_functions::blocks_usr1);

TEST_CASE("workers do not inherit what a set blocks", "[signal_set][I7]") {
  using namespace signal_set_cases;
  Loop loop;
  const SignalSet signals(loop, {SIGUSR1});
  leasepool::ManagerOptions options;
  options.backend = leasepool::ExecutorBackend::process;
  options.max_pools = 1;
  options.workers_per_pool = 1;
  leasepool::LeasedExecutorManager manager(loop, options);
  run(loop, [&]() -> Task<> {
    co_await manager.start();
    auto acquiring = manager.acquire();
    const auto lease = co_await acquiring;
    const bool blocks = co_await lease.run(signal_functions::blocks_usr1);
    CHECK_FALSE(blocks);
  });
}

TEST_CASE("a descriptor becomes readable and writable, or does not in time", "[ready][I2]") {
  using namespace signal_set_cases;
  Loop loop;
  const leasepool::test::SocketPair sockets;
  run(loop, [&]() -> Task<> {
    co_await leasepool::writable(loop, sockets.ours.get());
    const Failure late = co_await void_failure_of(leasepool::readable(loop, sockets.theirs.get(), {.timeout = 10ms}));
    CHECK(late.code == Errc::timed_out);
    const auto timer = loop.call_after(5ms, [&] { (void)!::write(sockets.ours.get(), "x", 1); });
    co_await leasepool::readable(loop, sockets.theirs.get(), {.timeout = 20s});
    const leasepool::Fd file(::memfd_create("test", MFD_CLOEXEC));
    co_await leasepool::readable(loop, file.get());  // cannot be polled, and is ready at once
    CHECK_THROWS_WITH(leasepool::readable(loop, -3), ContainsSubstring("fd = -3"));
    const int gone = ::dup(0);
    ::close(gone);
    const Failure bad = co_await void_failure_of(leasepool::readable(loop, gone));
    CHECK(bad.code == std::errc::bad_file_descriptor);
  });
}
