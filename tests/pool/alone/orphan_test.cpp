// The program is killed: its fork servers, its workers, and what their functions forked are gone soon after.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "alone.hpp"
#include "base/unique_fd.hpp"
#include "leasepool/function.hpp"
#include "leasepool/init.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "pool/processes.hpp"
#include "support/process_state.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::detail::UniqueFd;
using leasepool::test::ProcessHandle;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace orphan_cases {

// Forks a process that stays in the worker's group, and neither of the two ever ends.
int never_end() {
  if (::fork() == 0) {
    ++shared().holding;
    for (;;) ::pause();
  }
  ++shared().holding;
  for (;;) ::pause();
}

// The same, but the worker is gone at once.
int leave_a_child() {
  if (::fork() == 0) {
    ++shared().holding;
    for (;;) ::pause();
  }
  while (shared().holding == 0) ::usleep(100);
  ::_exit(3);
}

}  // namespace orphan_cases

LEASEPOOL_REGISTER(orphan_cases::never_end);
LEASEPOOL_REGISTER(orphan_cases::leave_a_child);

namespace {

enum class Servers { kept, killed };

// A program with three workers, two of them busy for ever, until it is killed.
[[noreturn]] void be_the_program(Servers servers) {
  init();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 3);
  if (!pool.start()) ::_exit(1);
  if (servers == Servers::killed) {
    ::kill(pool.result_of(pool_functions::parent_process_id).value(), SIGKILL);
    // A worker of the new server shows that the others were handed over.
    (void)pool.result_of(pool_functions::exit_at_once, 3);
    if (!pool.wait([&] { return pool.totals->workers_started == 4; })) ::_exit(2);
  }
  (void)pool.call(orphan_cases::never_end);
  (void)pool.call(orphan_cases::never_end);
  (void)pool.wait([] { return false; }, std::chrono::hours(1));
  ::_exit(3);
}

// How the program is killed.
enum class Target { program, its_group };

// Kills the program once all of its processes are there. How soon those are gone: bench/orphans.cpp.
void check_gone(Servers servers, Target target, std::size_t processes) {
  pool_functions::reset_shared();
  std::fflush(nullptr);
  const pid_t program = ::fork();
  if (program == 0) {
    if (target == Target::its_group) ::setpgid(0, 0);
    be_the_program(servers);
  }
  const auto all_there = [&] { return shared().holding == 4 && alone::family().size() == processes; };
  const auto give_up = std::chrono::steady_clock::now() + 60s;
  while (!all_there() && std::chrono::steady_clock::now() < give_up) ::usleep(1000);
  CHECK(shared().holding == 4);
  std::vector<ProcessHandle> others;
  for (const alone::Relative& relative : alone::family()) {
    if (relative.pid != program) others.emplace_back(relative.pid);
  }
  CHECK(others.size() == processes - 1);

  ::kill(target == Target::its_group ? -program : program, SIGKILL);
  const auto gone_after = test::time_until_dead(others, 30s);
  ::waitpid(program, nullptr, 0);
  CHECK(gone_after.has_value());
}

}  // namespace

// The program, two servers, three workers, two processes that functions forked.
ALONE_TEST_CASE("a killed program leaves no process", "[orphans][W5]") {
  check_gone(Servers::kept, Target::program, 8);
}

ALONE_TEST_CASE("a program killed with its whole process group leaves no process", "[orphans][W5]") {
  check_gone(Servers::kept, Target::its_group, 8);
}

ALONE_TEST_CASE("a killed program whose first fork server was killed before leaves no process", "[orphans][W5][W6]") {
  check_gone(Servers::killed, Target::program, 8);
}

ALONE_TEST_CASE("a worker that dies takes with it what its function forked", "[orphans]") {
  init();
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(orphan_cases::leave_a_child).error().code() == Errc::worker_crashed);
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  CHECK(pool.wait([] { return alone::family().size() == 3; }));  // two servers and the replacement
}

ALONE_TEST_CASE("a call that is interrupted takes with it what its function forked", "[orphans][E6]") {
  init();
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const auto call = pool.call(orphan_cases::never_end);
  CHECK(pool.wait([] { return shared().holding == 2; }));
  CHECK(pool.pool->interrupt(*call->job, {Errc::timed_out, "too long"}));
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  CHECK(pool.wait([] { return alone::family().size() == 3; }));
}

ALONE_TEST_CASE("a program that exits without closing its pools leaves no process", "[orphans][L6]") {
  pool_functions::reset_shared();
  std::fflush(nullptr);
  const pid_t program = ::fork();
  if (program == 0) {
    init();
    Loop loop;
    TestPool pool(loop, ExecutorBackend::process, 3);
    if (!pool.start()) ::_exit(1);
    (void)pool.call(orphan_cases::never_end);
    (void)pool.wait([] { return shared().holding == 2; });
    std::_Exit(0);
  }
  ::waitpid(program, nullptr, 0);
  CHECK(shared().holding == 2);
  Loop loop;
  CHECK(test::run_until(loop, [] { return alone::family().empty(); }));
}
