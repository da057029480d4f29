// Worker processes that serve one lease or one call, and fresh ones that are kept ready.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/manager.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"
#include "support/with_manager.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::TestPool;

namespace clean_worker_cases {

bool initialized = false;
int memory_mark = 0;
std::vector<char> large;

void initialize() { initialized = true; }
void on_signal(int /*signal*/) {}

// What calls before this one have left in the process; then leaves as much itself.
std::string marks() {
  std::string found;
  if (memory_mark != 0) found += "memory ";
  if (!large.empty()) found += "heap ";
  if (::getenv("CLEAN_WORKER_MARK") != nullptr) found += "environment ";
  struct sigaction action{};
  (void)::sigaction(SIGUSR2, nullptr, &action);
  if (action.sa_handler == &on_signal) found += "handler ";
  rlimit limit{};
  (void)::getrlimit(RLIMIT_STACK, &limit);
  if (limit.rlim_cur == 4'321'000) found += "limit ";
  const mode_t mask = ::umask(0123);
  if (mask == 0123) found += "umask ";
  memory_mark = 1;
  large.resize(1 << 20);
  (void)::setenv("CLEAN_WORKER_MARK", "1", 1);
  (void)std::signal(SIGUSR2, &on_signal);
  limit.rlim_cur = 4'321'000;
  (void)::setrlimit(RLIMIT_STACK, &limit);
  return found;
}

const std::string kAllMarks = "memory heap environment handler limit umask ";

struct Seen {
  pid_t process = 0;
  bool is_initialized = false;
  std::string marks;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(process, is_initialized, marks);
  }
};

Seen look() { return {.process = ::getpid(), .is_initialized = initialized, .marks = marks()}; }

// Starts a process that would never end by itself.
pid_t start_child() {
  const pid_t child = ::fork();
  if (child != 0) return child;
  for (;;) ::pause();
}

// With another process that keeps its worker's descriptors open.
pid_t hold_with_child() {
  start_child();
  return pool_functions::hold();
}

}  // namespace clean_worker_cases

LEASEPOOL_REGISTER(clean_worker_cases::initialize);
LEASEPOOL_REGISTER(clean_worker_cases::marks);
LEASEPOOL_REGISTER(clean_worker_cases::look);
LEASEPOOL_REGISTER(clean_worker_cases::start_child);
LEASEPOOL_REGISTER(clean_worker_cases::hold_with_child);

namespace clean_worker_cases {

namespace {

detail::PoolOptions options_for(std::size_t workers, WorkerReuse reuse, std::size_t spares) {
  detail::PoolOptions options = TestPool::options_for(workers);
  options.worker_reuse = reuse;
  options.spare_workers = spares;
  return options;
}

bool wait_for_spares(TestPool& pool, std::size_t count) {
  return pool.wait([&] { return pool.totals->spare_workers == count; });
}

// It sleeps in recv(2) or recvmsg(2).
bool waits_for_a_call(pid_t worker) {
  long call = -1;
  std::ifstream("/proc/" + std::to_string(worker) + "/syscall") >> call;
  return call == SYS_recvfrom || call == SYS_recvmsg;
}

pid_t server_of(TestPool& pool) { return pool.result_of(pool_functions::parent_process_id).value(); }

}  // namespace

TEST_CASE("with WorkerReuse::call no call finds what another has left", "[clean][K1]") {
  constexpr std::size_t kCalls = 24;
  const std::size_t spares = GENERATE(0U, 2U);
  Loop loop;
  auto options = options_for(2, WorkerReuse::call, spares);
  options.initializer = {initialize};
  TestPool pool(loop, ExecutorBackend::process, options);
  REQUIRE(pool.start().has_value());
  std::vector<std::shared_ptr<test::Call<Seen>>> calls;
  for (std::size_t i = 0; i < kCalls; ++i) calls.push_back(pool.call(look));
  REQUIRE(pool.wait([&] { return std::ranges::all_of(calls, [](const auto& call) { return call->ended(); }); }));
  std::set<pid_t> processes;
  for (const auto& call : calls) {
    REQUIRE(call->succeeded());
    CHECK(call->result->value().marks.empty());
    CHECK(call->result->value().is_initialized);
    processes.insert(call->result->value().process);
  }
  CHECK(processes.size() == kCalls);
  CHECK(pool.totals->workers_recycled == kCalls);
  CHECK(pool.totals->workers_killed == 0);
  CHECK(pool.totals->workers_crashed == 0);
}

// Those are sent ahead to workers that are busy, however long they take: but not to one that serves one call.
TEST_CASE("each call of a batch goes to a fresh worker of its own", "[clean][K1]") {
  constexpr std::uint64_t kCalls = 8;
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_for(1, WorkerReuse::call, 1));
  REQUIRE(pool.start().has_value());
  std::vector<std::shared_ptr<test::Call<Seen>>> calls(kCalls);
  detail::IntrusiveQueue<detail::Job> batch;
  for (std::uint64_t i = 0; i < kCalls; ++i) {
    auto job = test::make_test_job(calls[i], look);
    job->state.id = i + 1;
    job->state.lease = pool.sink;
    job->state.of_batch = true;
    batch.push_back(std::move(job));
  }
  pool.pool->submit_batch(std::move(batch));
  REQUIRE(pool.wait([&] { return std::ranges::all_of(calls, [](const auto& call) { return call->ended(); }); }));
  std::set<pid_t> processes;
  for (const auto& call : calls) {
    REQUIRE(call->succeeded());
    CHECK(call->result->value().marks.empty());
    processes.insert(call->result->value().process);
  }
  CHECK(processes.size() == kCalls);
}

TEST_CASE("with WorkerReuse::lease a lease's calls meet each other, and nobody else's", "[clean][K1]") {
  Loop loop;
  loop.block_on(test::with_manager(
      loop,
      {.backend = ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 1, .worker_reuse = WorkerReuse::lease},
      [](LeasedExecutorManager& manager) -> Task<> {
        std::set<pid_t> processes;
        for (int i = 0; i < 4; ++i) {
          auto lease = co_await manager.acquire();
          auto first = lease.run(look);
          const Seen fresh = co_await first;
          CHECK(fresh.marks.empty());
          auto second = lease.run(look);
          const Seen used = co_await second;
          CHECK(used.marks == kAllMarks);
          CHECK(used.process == fresh.process);
          processes.insert(fresh.process);
        }
        CHECK(processes.size() == 4);
        CHECK(manager.stats().workers_recycled == 4);
      }));
}

TEST_CASE("a lease that has called nothing leaves its workers to the next", "[clean][K1]") {
  Loop loop;
  loop.block_on(test::with_manager(
      loop,
      {.backend = ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 2, .worker_reuse = WorkerReuse::lease},
      [](LeasedExecutorManager& manager) -> Task<> {
        for (int i = 0; i < 3; ++i) (void)co_await manager.acquire();
        CHECK(manager.stats().workers_recycled == 0);
      }));
}

TEST_CASE("what a worker started ends with it when it has served", "[clean][K1]") {
  const auto reuse = GENERATE(WorkerReuse::call, WorkerReuse::lease);
  Loop loop;
  loop.block_on(test::with_manager(
      loop, {.backend = ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 1, .worker_reuse = reuse},
      [](LeasedExecutorManager& manager) -> Task<> {
        pid_t child = 0;
        {
          auto lease = co_await manager.acquire();
          auto call = lease.run(start_child);
          child = co_await call;
        }
        CHECK(child > 0);
        CHECK(test::eventually([&] {
          const char state = test::process_state(child);
          return state == '?' || state == 'Z';
        }));
      }));
}

// With the fork server stopped, nobody can fork.
TEST_CASE("spare workers serve without a fork", "[clean][K2]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_for(1, WorkerReuse::call, 3));
  REQUIRE(pool.start().has_value());
  const pid_t server = server_of(pool);
  REQUIRE(wait_for_spares(pool, 3));
  REQUIRE(pool.stop_process(server));
  std::set<pid_t> processes;
  for (int i = 0; i < 4; ++i) processes.insert(pool.result_of(pool_functions::process_id).value());
  CHECK(processes.size() == 4);
  CHECK(pool.totals->spare_workers == 0);
  const auto waits = pool.call(pool_functions::process_id);
  CHECK_FALSE(waits->ended());
  ::kill(server, SIGCONT);
  CHECK(pool.wait([&] { return waits->ended(); }));
  CHECK(waits->succeeded());
  CHECK(wait_for_spares(pool, 3));
}

TEST_CASE("spare workers replace those that crash, whatever worker_reuse says", "[clean][K2][K3]") {
  const auto reuse = GENERATE(WorkerReuse::always, WorkerReuse::lease, WorkerReuse::call);
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_for(1, reuse, 4));
  REQUIRE(pool.start().has_value());
  const pid_t server = server_of(pool);
  REQUIRE(wait_for_spares(pool, 4));
  REQUIRE(pool.stop_process(server));
  const auto crashes = pool.call(pool_functions::end_running, static_cast<int>(pool_functions::End::sigkill));
  const auto behind = pool.call(pool_functions::add, 1, 2);
  CHECK(pool.wait([&] { return behind->ended(); }));  // while nobody can say yet how the other ended
  CHECK(behind->succeeded());
  ::kill(server, SIGCONT);
  CHECK(pool.wait([&] { return crashes->ended(); }));
  CHECK(crashes->code() == Errc::worker_crashed);
  CHECK(pool.totals->workers_crashed == 1);
  CHECK(wait_for_spares(pool, 4));
}

TEST_CASE("spare workers never exceed the option", "[clean][K2]") {
  constexpr std::size_t kSpares = 2;
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_for(2, WorkerReuse::call, kSpares));
  REQUIRE(pool.start().has_value());
  std::size_t most = 0;
  for (int round = 0; round < 10; ++round) {
    std::vector<std::shared_ptr<test::Call<std::int64_t>>> calls;
    for (int i = 0; i < 5; ++i) calls.push_back(pool.call(pool_functions::add, i, i));
    CHECK(pool.wait([&] {
      most = std::max(most, pool.totals->spare_workers);
      return std::ranges::all_of(calls, [](const auto& call) { return call->ended(); });
    }));
    CHECK(pool.wait([&] {
      most = std::max(most, pool.totals->spare_workers);
      return pool.totals->spare_workers == kSpares;
    }));
  }
  CHECK(most == kSpares);
  CHECK(pool.close());
  CHECK(pool.totals->spare_workers == 0);
}

TEST_CASE("a time-out and a cancellation cost one call, whatever worker_reuse says", "[clean][K3]") {
  const auto reuse = GENERATE(WorkerReuse::lease, WorkerReuse::call);
  pool_functions::reset_shared();
  Loop loop;
  loop.block_on(test::with_manager(
      loop, {.backend = ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 1, .worker_reuse = reuse},
      [](LeasedExecutorManager& manager) -> Task<> {
        auto lease = co_await manager.acquire();
        for (int i = 0; i < 3; ++i) {
          auto hangs = lease.with({.timeout = 20ms}).run(pool_functions::hold);
          std::error_code code;
          try {
            (void)co_await hangs;
          } catch (const LeasePoolError& error) {
            code = error.code();
          }
          CHECK(code == Errc::timed_out);
          auto next = lease.run(pool_functions::add, 1, 2);
          const std::int64_t sum = co_await next;
          CHECK(sum == 3);
        }
        CHECK(manager.stats().workers_killed == 3);
        CHECK(manager.stats().workers_crashed == 0);
      }));
}

// The loop hears of its death first, as another process has its socket open, and then finds what it had sent before.
TEST_CASE("a worker that dies after its call, while its pool closes, is retired once", "[clean][W2]") {
  const auto reuse = GENERATE(WorkerReuse::always, WorkerReuse::call);
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_for(1, reuse, 0));
  REQUIRE(pool.start().has_value());
  const auto call = pool.call(hold_with_child);
  REQUIRE(pool.wait([&] { return pool_functions::shared().holding != 0; }));
  const pid_t worker = pool_functions::shared().last_runner;
  bool closed = false;
  pool.pool->close([&] { closed = true; });
  pool_functions::shared().gate = 1;
  REQUIRE(test::eventually([&] { return waits_for_a_call(worker); }));  // so it has answered
  ::kill(worker, SIGKILL);
  REQUIRE(test::eventually([&] { return test::process_state(worker) == 'Z' || test::process_state(worker) == '?'; }));
  CHECK(pool.wait([&] { return closed; }));
  CHECK(call->succeeded());
}

TEST_CASE("worker_reuse and spare_workers out of range are refused", "[clean][bad input]") {
  Loop loop;
  const auto refused = [&](const ManagerOptions& options) -> std::string {
    try {
      const LeasedExecutorManager manager(loop, options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refused({.max_pools = 1, .worker_reuse = WorkerReuse::call}) ==
        "leasepool: ManagerOptions::worker_reuse is set, which needs backend = process: a thread is not replaced");
  CHECK(refused({.max_pools = 1, .spare_workers = 1}) ==
        "leasepool: ManagerOptions::spare_workers is set, which needs backend = process: a thread is not replaced");
  CHECK(refused({.backend = ExecutorBackend::process, .max_pools = 1, .spare_workers = 1025}) ==
        "leasepool: ManagerOptions::spare_workers = 1025 must be at least 0 and at most 1024");
  CHECK(refused({.backend = ExecutorBackend::process, .max_pools = 1, .worker_reuse = static_cast<WorkerReuse>(7)}) ==
        "leasepool: ManagerOptions::worker_reuse = 7 must be always, lease or call");
}

}  // namespace clean_worker_cases
