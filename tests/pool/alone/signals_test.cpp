// Signals that the program's group gets, and programs that wait for children by themselves.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>

#include "alone.hpp"
#include "leasepool/function.hpp"
#include "leasepool/init.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "pool/held_calls.hpp"
#include "pool/processes.hpp"
#include "support/process_state.hpp"
#include "support/waitable_children.hpp"

using namespace leasepool;
using leasepool::test::TestPool;

namespace signals_cases {

// By which signal a program ended that was executed and got it.
int run_and_signal(int signal) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return -1;
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/bin/sleep", "sleep", "60", nullptr);
    ::_exit(1);
  }
  ::close(pipe[1]);
  char end = 0;
  (void)!::read(pipe[0], &end, 1);  // until it is executed
  ::close(pipe[0]);
  ::kill(child, signal);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

// A process that ends when its parent is gone already.
void leave_a_grandchild() {
  if (::fork() != 0) return;
  if (::fork() == 0) ::usleep(1000);
  ::_exit(0);
}

}  // namespace signals_cases

LEASEPOOL_REGISTER(signals_cases::run_and_signal);
LEASEPOOL_REGISTER(signals_cases::leave_a_grandchild);

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
  test::HeldCalls held(2, 1);
  TestPool& pool = held.pool;
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
  held.check_go_on();
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
  CHECK(reaped <= 1);  // by way of which init() forks the servers: neither they nor workers are the program's children
}

ALONE_TEST_CASE("who waits for all children does not wait for the fork servers", "[init]") {
  const test::WaitableChildren waitable;
  init();
  const pid_t own = ::fork();
  if (own == 0) ::_exit(0);
  CHECK(::wait(nullptr) == own);
  CHECK((::wait(nullptr) == -1 && errno == ECHILD));
  check_survives_everything();
  CHECK((::wait(nullptr) == -1 && errno == ECHILD));
}

ALONE_TEST_CASE("a program that is interrupted all the time is served as well", "[init][worker]") {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &action, nullptr);
  const itimerval often{.it_interval = {.tv_sec = 0, .tv_usec = 200}, .it_value = {.tv_sec = 0, .tv_usec = 200}};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  init();
  for (int i = 0; i < 20; ++i) check_survives_everything();
}

// What a service manager does that stops a service: the same signal to each of its processes.
ALONE_TEST_CASE("signals that ask a whole service to end leave its end to the program", "[worker]") {
  init();
  test::HeldCalls held(2, 1);
  TestPool& pool = held.pool;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    CAPTURE(signal);
    for (const alone::Relative& relative : alone::family()) ::kill(relative.pid, signal);
    CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
    // What a function executes is ended by them as anywhere.
    CHECK(pool.result_of(signals_cases::run_and_signal, signal).value() == signal);
  }
  held.check_go_on();
  CHECK(pool.totals->workers_crashed == 0);
}

ALONE_TEST_CASE("a program that is a subreaper gets no zombies and hears how workers of a dead server end",
                "[server][worker][W4]") {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const test::WaitableChildren waitable;
  init();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const auto no_zombies = [&] {
    return pool.wait([] {
      return std::ranges::none_of(test::child_processes(),
                                  [](pid_t child) { return test::process_state(child) == 'Z'; });
    });
  };
  CHECK(pool.result_of(signals_cases::leave_a_grandchild).has_value());
  CHECK(pool.result_of(pool_functions::exit_at_once, 3).error().code() == Errc::worker_crashed);
  CHECK(no_zombies());

  const pid_t server = pool.result_of(pool_functions::parent_process_id).value();
  // What the first worker left may be killed and not yet dead, and would come to this program, too.
  REQUIRE(pool.wait([] {
    return std::ranges::count_if(test::child_processes(),
                                 [](pid_t child) { return test::process_name(child) == "test-pool"; }) == 1;
  }));
  ::kill(server, SIGKILL);
  REQUIRE(::waitpid(server, nullptr, 0) == server);  // it was handed to this program, which knows nothing of it
  test::turn(loop);
  test::turn(loop);
  const auto crashed = pool.result_of(pool_functions::exit_at_once, 3);
  CHECK_THAT(crashed.error().message(), ContainsSubstring("exited with code 3"));
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  CHECK(pool.close());
  CHECK(no_zombies());
}
