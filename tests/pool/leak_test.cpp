// After many crashes, and after pools that ended in odd orders and states, everything is as it was: no process, zombie,
// thread or descriptor is left, and memory does not grow.
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/manager.hpp"
#include "processes.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"
#include "support/sanitized.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace {

// What this process has, as of its construction.
class Balance {
 public:
  Balance() = default;
  Balance(const Balance&) = delete;
  Balance& operator=(const Balance&) = delete;
  void check_restored() const {
    CHECK(test::eventually([&] { return test::thread_count() <= threads_; }));
    CHECK(test::open_descriptors() == descriptors_);
    CHECK(test::eventually([&] { return test::child_processes() == processes_; }));
  }

 private:
  // A sanitizer starts its own thread with the first of the program's.
  const std::size_t threads_ = std::max(test::thread_count(), 1 + test::kRuntimeThreads);
  const std::vector<std::string> descriptors_ = test::open_descriptors();
  const std::vector<pid_t> processes_ = test::child_processes();
};

long resident_kib(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/statm");
  long pages = 0;
  file >> pages >> pages;
  return pages * ::sysconf(_SC_PAGESIZE) / 1024;
}

std::size_t descriptors_of(pid_t process) {
  return test::proc::numbers_in(("/proc/" + std::to_string(process) + "/fd").c_str()).values.size();
}

// Under a sanitizer a fork takes ten times as long.
constexpr unsigned kCrashes = test::kSanitized ? 1000 : 10'000;

// What the test itself keeps of them does not count. Now and then a call ends well, or the pool would be broken.
void crash(TestPool& pool, unsigned times) {
  constexpr unsigned kAtOnce = 200;
  constexpr unsigned kBetween = 8;
  for (unsigned done = 0; done < times; done += kAtOnce) {
    for (unsigned i = 0; i < kAtOnce; ++i) {
      (void)pool.call(pool_functions::exit_at_once, 3);
      if (i % kBetween == 0) (void)pool.call(pool_functions::nothing);
    }
    REQUIRE(pool.wait([&] { return pool.sink->ended.size() == kAtOnce + kAtOnce / kBetween; }));
    pool.sink->ended.clear();
    pool.sink->started.clear();
    pool.log->clear();
  }
}

}  // namespace

TEST_CASE("10,000 crashes leave no zombie, no descriptor, no process, and nothing grows", "[leaks][W4]") {
  const Balance balance;
  {
    Loop loop;
    TestPool pool(loop, ExecutorBackend::process, 4);
    REQUIRE(pool.start().has_value());
    const pid_t server = pool.result_of(pool_functions::parent_process_id).value();
    crash(pool, 200);  // whatever is kept for good has been made now
    CHECK(pool.wait([&] { return pool.totals->workers_started == 204; }));
    const auto descriptors = test::open_descriptors().size();
    const std::size_t servers_descriptors = descriptors_of(server);
    const long ours = resident_kib(::getpid());
    const long servers = resident_kib(server);
    crash(pool, kCrashes - 200);
    CHECK(pool.wait([&] { return pool.totals->workers_started == 4 + kCrashes; }));
    CHECK(pool.totals->workers_crashed == kCrashes);
    CHECK(test::open_descriptors().size() <= descriptors + 8);  // pools in the middle of a replacement have more
    CHECK(test::eventually([&] { return descriptors_of(server) <= servers_descriptors; }));
    for (const pid_t child : test::child_processes()) CHECK(test::process_state(child) != 'Z');
    if (!test::kSanitized) {  // a sanitizer keeps freed memory, and notes of its own
      CHECK(resident_kib(::getpid()) - ours < 4096);
      CHECK(resident_kib(server) - servers < 8192);
    }
    CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  }
  balance.check_restored();
}

TEST_CASE("pools that end in any state leave nothing", "[leaks][L6]") {
  pool_functions::reset_shared();
  const Balance balance;
  for (const int state : {0, 1, 2, 3, 4, 5, 6}) {
    for (const ExecutorBackend backend : {ExecutorBackend::process, ExecutorBackend::thread}) {
      CAPTURE(state, backend == ExecutorBackend::process);
      Loop loop;
      TestPool pool(loop, backend, 2);
      if (state == 0) {
        pool.pool->start([](const Result<void>&) {});  // it has not begun
        continue;
      }
      if (state == 1) {
        pool.pool->start([](const Result<void>&) {});
        test::turn(loop);
        continue;
      }
      REQUIRE(pool.start().has_value());
      shared().gate = backend == ExecutorBackend::thread ? 1 : 0;  // a thread has to end by itself
      if (state >= 3) (void)pool.call(pool_functions::hold);
      if (state >= 4) (void)pool.call(pool_functions::add, 1, 2);
      if (state >= 5) test::turn(loop);
      if (state == 6) pool.pool->close([] {});
    }
  }
  pool_functions::reset_shared();
  balance.check_restored();
}

TEST_CASE("managers, leases and loops can go in any order and state", "[leaks][L6]") {
  pool_functions::reset_shared();
  const Balance balance;
  for (const ExecutorBackend backend : {ExecutorBackend::process, ExecutorBackend::thread}) {
    for (const int order : {0, 1, 2, 3}) {
      for (const int state : {0, 1, 2, 3, 4}) {
        CAPTURE(backend == ExecutorBackend::process, order, state);
        auto loop = std::make_unique<Loop>();
        ManagerOptions options;
        options.backend = backend;
        options.max_pools = 2;
        options.workers_per_pool = 2;
        options.log = [](const LogRecord&) {};
        auto manager = std::make_unique<LeasedExecutorManager>(*loop, options);
        auto lease = std::make_unique<ExecutorLease>();
        bool started = false;
        bool ended = false;
        if (state >= 1) manager->start_async([&](const Result<void>&) { started = true; });
        if (state >= 2) {
          REQUIRE(test::run_until(*loop, [&] { return started; }));
          manager->acquire_async({.owner = "leaks"}, [&](Result<ExecutorLease> granted) {
            if (granted) *lease = std::move(*granted);
          });
        }
        if (state >= 3) {
          REQUIRE(test::run_until(*loop, [&] { return lease->active(); }));
          shared().gate = backend == ExecutorBackend::thread ? 1 : 0;
          lease->run_async(pool_functions::hold, [&](const Result<pid_t>&) { ended = true; });
        }
        if (state >= 4) {
          if (backend == ExecutorBackend::process) {
            lease->run_async(pool_functions::exit_at_once, 3, [&](const Result<void>&) { ended = true; });
          }
          REQUIRE(test::run_until(*loop, [&] { return ended; }));
          manager->stop_async([](const Result<void>&) {});
        }
        if (order == 0) lease.reset();
        if (order == 1) manager.reset();
        if (order == 2) loop.reset();
        if (order == 3) manager.reset(), lease.reset();
        if (order == 2) lease.reset(), manager.reset();
      }
    }
  }
  pool_functions::reset_shared();
  balance.check_restored();
}
