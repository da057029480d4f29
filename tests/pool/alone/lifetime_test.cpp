// How long fork servers and workers live: as long as the processes that use them, which need not be the one that called
// init(). Daemons, servers that fork before they serve, and programs that close all descriptors.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>

#include "alone.hpp"
#include "leasepool/init.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "support/eventually.hpp"
#include "support/waitable_children.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace {

// A process of the program's own that runs this, and ends with its answer.
pid_t fork_to(const std::function<bool()>& body) {
  static const test::WaitableChildren waitable;
  const pid_t child = ::fork();
  if (child == 0) {
    test::WaitableChildren::put_back();
    ::_exit(body() ? 0 : 1);
  }
  return child;
}

bool ended_well(pid_t child) {
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Workers, a crash and a replacement.
bool works() {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  return pool.start() && pool.result_of(pool_functions::add, 1, 2) == 3 &&
         !pool.result_of(pool_functions::exit_at_once, 3) && pool.result_of(pool_functions::add, 2, 2) == 4 &&
         pool.close();
}

// One worker that is busy until the process that runs this is killed.
bool serve_for_ever() {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  if (!pool.start()) return false;
  (void)pool.call(pool_functions::hold);
  return pool.wait([] { return false; }, std::chrono::hours(1));
}

std::size_t workers() { return alone::family().size() - alone::fork_servers().size(); }

}  // namespace

ALONE_TEST_CASE("a program may become a daemon after init", "[init][lifetime]") {
  pool_functions::reset_shared();
  const pid_t program = fork_to([]() -> bool {
    init();
    const pid_t first = ::getpid();
    if (::fork() != 0) ::_exit(0);
    ::setsid();
    if (!test::eventually([&] { return ::getppid() != first; })) ::_exit(1);
    shared().holding = works() ? 1 : 2;
    ::_exit(0);
  });
  CHECK(ended_well(program));
  CHECK(test::eventually([] { return shared().holding != 0; }));
  CHECK(shared().holding == 1);
  CHECK(test::eventually([] { return alone::family().empty(); }));
}

ALONE_TEST_CASE("each process that a program forks can have workers and the program itself none the less",
                "[init][lifetime]") {
  init();
  const auto servers = alone::both_fork_servers();
  const pid_t one = fork_to(works);
  const pid_t other = fork_to(works);
  CHECK(works());
  CHECK(ended_well(one));
  CHECK(ended_well(other));
  CHECK(alone::fork_servers() == servers);
}

ALONE_TEST_CASE("workers end with the process that uses them and not with others that have its sockets",
                "[lifetime][W5]") {
  init();
  pool_functions::reset_shared();
  const pid_t master = fork_to(serve_for_ever);
  REQUIRE(test::eventually([] { return shared().holding == 1; }));
  const pid_t other = fork_to(serve_for_ever);
  REQUIRE(test::eventually([] { return shared().holding == 2; }));
  CHECK(workers() == 4);
  ::kill(master, SIGKILL);
  ::waitpid(master, nullptr, 0);
  CHECK(test::eventually([] { return workers() == 2; }));
  CHECK(works());
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
  CHECK(test::eventually([] { return workers() == 0; }));
  CHECK(alone::fork_servers().size() == 2);
}

ALONE_TEST_CASE("a process that a user forked while it had workers may end without harm to them", "[lifetime]") {
  init();
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const auto call = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  CHECK(ended_well(fork_to([] { return true; })));
  CHECK(pool.wait([] { return workers() == 1; }));
  shared().gate = 1;
  CHECK(pool.wait([&] { return call->ended(); }));
  CHECK(call->succeeded());
}

ALONE_TEST_CASE("a program that closes all descriptors starts fork servers once more", "[init][lifetime]") {
  init();
  const auto first = alone::both_fork_servers();
  for (int fd = 3; fd < 1024; ++fd) ::close(fd);
  CHECK(test::eventually([] { return alone::fork_servers().empty(); }));
  int sockets[2];  // one of them has the number
  REQUIRE(::pipe(sockets) == 0);
  CHECK(works());
  CHECK(alone::both_fork_servers() != first);
}
