// Signals that the program's group gets, and programs that wait for children by themselves.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

#include "alone.hpp"
#include "leasepool/init.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "pool/processes.hpp"
#include "support/process_state.hpp"

using namespace leasepool;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace {

std::atomic<int> reaped = 0;

void reap_everything(int) {
  const int saved = errno;
  while (::waitpid(-1, nullptr, WNOHANG) > 0) ++reaped;
  errno = saved;
}

// A crash, a replacement, a fork server's death and another replacement.
void check_survives_everything() {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  CHECK_THAT(pool.result_of(pool_functions::exit_at_once, 3).error().message(), ContainsSubstring("code 3"));
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  const pid_t server = pool.result_of(pool_functions::parent_process_id).value();
  ::kill(server, SIGKILL);
  CHECK(pool.result_of(pool_functions::exit_at_once, 3).error().code() == Errc::worker_crashed);
  CHECK(pool.result_of(pool_functions::exit_at_once, 3).error().code() == Errc::worker_crashed);
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  CHECK(pool.result_of(pool_functions::parent_process_id).value() != server);
  CHECK(pool.close());
}

}  // namespace

ALONE_TEST_CASE("signals to the program's group reach neither servers nor workers", "[init][worker]") {
  ::setpgid(0, 0);
  init();
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  const auto call = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  const auto before = alone::both_fork_servers();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE}) {
    std::signal(signal, SIG_IGN);  // the program's own affair
    ::kill(0, signal);
    CAPTURE(signal);
    // The kernel has delivered it when a call has gone through both.
    CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
    CHECK(pool.result_of(pool_functions::exit_at_once, 3).error().code() == Errc::worker_crashed);
    CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
    CHECK(alone::fork_servers() == before);
  }
  CHECK_FALSE(call->ended());
  shared().gate = 1;
  CHECK(pool.wait([&] { return call->ended(); }));
  CHECK(call->succeeded());
}

ALONE_TEST_CASE("a program that ignores SIGCHLD is served as well", "[init][worker]") {
  std::signal(SIGCHLD, SIG_IGN);
  init();
  check_survives_everything();
}

ALONE_TEST_CASE("a program that waits for all children is served as well", "[init][worker]") {
  std::signal(SIGCHLD, reap_everything);
  init();
  check_survives_everything();
  CHECK(reaped <= 1);  // the fork server that was killed, if we were first: workers are not the program's children
}
