// The fork server killed, stopped, or gone with its reserve: running calls go on, replacements work as long as there is
// a server, and when there is none the error says what to do.
#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <string>
#include <vector>

#include "alone.hpp"
#include "leasepool/init.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "pool/processes.hpp"
#include "support/process_state.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::ProcessHandle;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace {

// The one that forks now.
pid_t server_of(TestPool& pool) { return pool.result_of(pool_functions::parent_process_id).value(); }

void kill_and_wait(pid_t process) {
  const ProcessHandle handle(process);
  handle.kill(SIGKILL);
  REQUIRE(handle.wait(60s));
}

// The worker that takes the next call crashes and is replaced.
void check_replaces(TestPool& pool) {
  const auto started = pool.totals->workers_started;
  const auto crashed = pool.result_of(pool_functions::exit_at_once, 3);
  CHECK(crashed.error().code() == Errc::worker_crashed);
  REQUIRE(pool.wait([&] { return pool.totals->workers_started == started + 1; }));
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
}

}  // namespace

ALONE_TEST_CASE("with the fork server killed running calls go on and replacements work", "[server][W6]") {
  init();
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  const auto running = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  pid_t last = 0;
  for (int i = 0; i < 5; ++i) {
    CAPTURE(i);
    const pid_t server = server_of(pool);
    CHECK(server != last);
    last = server;
    kill_and_wait(server);
    check_replaces(pool);  // one that the dead server had forked
    check_replaces(pool);  // one that the new server has
    CHECK(pool.wait([] { return alone::fork_servers().size() == 2; }));
  }
  CHECK_FALSE(running->ended());
  shared().gate = 1;
  CHECK(pool.wait([&] { return running->ended(); }));
  CHECK(running->succeeded());
  CHECK(pool.close());
  CHECK(pool.totals->workers_crashed == 10);
}

ALONE_TEST_CASE("a crash under a new server says how unless its worker was forked before", "[server][W6]") {
  init();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  kill_and_wait(server_of(pool));
  test::turn(loop);
  test::turn(loop);
  const auto before = pool.result_of(pool_functions::exit_at_once, 3);
  CHECK(before.error().code() == Errc::worker_crashed);
  CHECK_THAT(before.error().message(), ContainsSubstring("fork server was gone") || ContainsSubstring("code 3"));
  const auto after = pool.result_of(pool_functions::exit_at_once, 3);
  CHECK_THAT(after.error().message(), ContainsSubstring("exited with code 3"));
}

ALONE_TEST_CASE("closing a pool ends the workers of a server that was killed too", "[server][W6][L6]") {
  init();
  pool_functions::reset_shared();
  Loop loop;
  for (const bool in_order : {true, false}) {
    TestPool pool(loop, ExecutorBackend::process, 3);
    REQUIRE(pool.start().has_value());
    (void)pool.call(pool_functions::hold);
    CHECK(pool.wait([] { return shared().holding == 1; }));
    kill_and_wait(server_of(pool));
    if (in_order) {
      shared().gate = 1;
      CHECK(pool.close());
    } else {
      pool.close_now(60s);
    }
    pool_functions::reset_shared();
    CHECK(test::run_until(loop, [] { return alone::family().size() == alone::fork_servers().size(); }));
  }
}

ALONE_TEST_CASE("a fork server killed with requests unanswered costs nothing", "[server][W6]") {
  init();
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 3);
  REQUIRE(pool.start().has_value());
  const auto running = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  for (int i = 0; i < 3; ++i) {
    CAPTURE(i);
    const pid_t server = server_of(pool);
    ::kill(server, SIGSTOP);
    REQUIRE(pool.wait([&] { return test::process_state(server) == 'T'; }));
    const auto crashed_before = pool.totals->workers_crashed;
    const auto first = pool.call(pool_functions::exit_at_once, 3);
    const auto second = pool.call(pool_functions::exit_at_once, 3);
    REQUIRE(pool.wait([&] { return pool.totals->workers_crashed == crashed_before + 2; }));
    const auto waiting = pool.call(pool_functions::add, 1, 2);
    test::turn(loop);
    ::kill(server, SIGKILL);
    REQUIRE(pool.wait([&] { return waiting->ended(); }));
    CAPTURE(waiting->message());
    CHECK(waiting->succeeded());
    CHECK(pool.wait([&] { return first->ended() && second->ended(); }));
    CHECK(first->code() == Errc::worker_crashed);
    CHECK(second->code() == Errc::worker_crashed);
    REQUIRE(pool.wait([&] { return pool.totals->workers_started == 3U + 2U * (static_cast<unsigned>(i) + 1U); }));
    REQUIRE(pool.wait([] { return alone::fork_servers().size() == 2; }));  // there is a reserve again
  }
  CHECK_FALSE(running->ended());
  shared().gate = 1;
  CHECK(pool.wait([&] { return running->ended(); }));
}

ALONE_TEST_CASE("a fork server killed while no descriptor is left is replaced when there are some again",
                "[server][W6]") {
  init();
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  const auto running = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  const pid_t first = server_of(pool);
  const ProcessHandle server(first);
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit none{.rlim_cur = 3, .rlim_max = limit.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  server.kill(SIGKILL);
  REQUIRE(server.wait(60s));
  test::turn(loop);
  test::turn(loop);  // by now it is known
  CHECK_FALSE(pool.pool->broken());
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  check_replaces(pool);
  check_replaces(pool);
  CHECK(server_of(pool) != first);
  CHECK_FALSE(running->ended());
  shared().gate = 1;
  CHECK(pool.wait([&] { return running->ended(); }));
  CHECK(running->succeeded());
}

ALONE_TEST_CASE("a reserve that is killed is replaced although nobody asks for anything", "[server][W6]") {
  init();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const pid_t active = server_of(pool);
  for (int i = 0; i < 3; ++i) {
    for (const pid_t server : alone::both_fork_servers()) {
      if (server != active) kill_and_wait(server);
    }
  }
  (void)alone::both_fork_servers();
  kill_and_wait(active);
  check_replaces(pool);
  TestPool other(loop, ExecutorBackend::process, 1);
  REQUIRE(other.start().has_value());
  check_replaces(other);
  for (const pid_t child : test::child_processes()) CHECK(test::process_state(child) != 'Z');
}

ALONE_TEST_CASE("with both servers killed running calls end and the pool is broken and says what to do",
                "[server][W6]") {
  init();
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  const auto running = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  // The one that serves cannot make another reserve before it is killed, too.
  const pid_t active = server_of(pool);
  ::kill(active, SIGSTOP);
  REQUIRE(pool.wait([&] { return test::process_state(active) == 'T'; }));
  for (const pid_t server : alone::both_fork_servers()) {
    if (server != active) kill_and_wait(server);
  }
  ::kill(active, SIGKILL);
  CHECK(pool.wait([&] { return pool.pool->broken(); }));
  const auto refused = pool.result_of(pool_functions::add, 1, 2);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code() == Errc::pool_broken);
  CHECK_THAT(refused.error().message(),
             ContainsSubstring("both fork servers were killed") && ContainsSubstring("restart it"));
  alone::check_row("pool_broken", refused.error().message());
  shared().gate = 1;
  CHECK(pool.wait([&] { return running->ended(); }));
  CHECK(running->succeeded());
  CHECK(pool.close());

  TestPool other(loop, ExecutorBackend::process, 1);
  const auto started = other.start();
  REQUIRE_FALSE(started.has_value());
  CHECK(started.error().code() == Errc::pool_broken);
  CHECK_THAT(started.error().message(), ContainsSubstring("restart it"));
  CHECK(test::run_until(loop, [] { return alone::family().empty(); }));
  CHECK(test::child_processes().empty());  // no zombie
}

ALONE_TEST_CASE("a start survives or reports a fork server that is killed meanwhile", "[server][W6][L4]") {
  init();
  Loop loop;
  for (int turns = 0; turns < 6; ++turns) {
    CAPTURE(turns);
    pid_t server = 0;
    {
      TestPool pool(loop, ExecutorBackend::process, 1);
      REQUIRE(pool.start().has_value());
      server = server_of(pool);
    }
    TestPool pool(loop, ExecutorBackend::process, 4);
    std::optional<Result<void>> started;
    pool.pool->start([&](Result<void> result) { started.emplace(std::move(result)); });
    for (int i = 0; i < turns; ++i) test::turn(loop);
    kill_and_wait(server);
    REQUIRE(pool.wait([&] { return started.has_value(); }));
    if (started->has_value()) {
      CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
    } else {
      CHECK(started->error().code() == Errc::pool_broken);
      pool.pool.reset();
    }
  }
}

ALONE_TEST_CASE("a fork server that is stopped makes a start fail in time and nothing hang", "[server][L3][L4]") {
  init();
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(2);
  options.worker_start_timeout = 100ms;
  for (const bool goes_on : {true, false}) {
    CAPTURE(goes_on);
    pid_t server = 0;
    {
      TestPool pool(loop, ExecutorBackend::process, 1);
      REQUIRE(pool.start().has_value());
      server = server_of(pool);
    }
    ::kill(server, SIGSTOP);
    REQUIRE(test::run_until(loop, [&] { return test::process_state(server) == 'T'; }));
    TestPool pool(loop, ExecutorBackend::process, options);
    const auto started = pool.start();
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code() == Errc::pool_broken);
    CHECK_THAT(started.error().message(), ContainsSubstring("worker_start_timeout"));
    ::kill(server, goes_on ? SIGCONT : SIGKILL);
    TestPool again(loop, ExecutorBackend::process, 2);
    REQUIRE(again.start().has_value());
    CHECK(again.result_of(pool_functions::add, 1, 2).value() == 3);
    CHECK(again.close());
    // What the server forks of the old requests goes away by itself.
    CHECK(test::run_until(loop, [] { return alone::family().size() == alone::fork_servers().size(); }));
  }
}

ALONE_TEST_CASE("a destructor does not wait for what a fork server that is stopped has to say", "[server][L6]") {
  init();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  const pid_t server = server_of(pool);
  ::kill(server, SIGSTOP);
  REQUIRE(test::run_until(loop, [&] { return test::process_state(server) == 'T'; }));
  const auto begin = std::chrono::steady_clock::now();
  pool.close_now(60s);
  CHECK(std::chrono::steady_clock::now() - begin < 4s);  // of those that it may take to kill what hangs: five
  ::kill(server, SIGCONT);
  CHECK(test::run_until(loop, [] { return alone::family().size() == alone::fork_servers().size(); }));
}

ALONE_TEST_CASE("a fork server that is stopped for long and can take no more is named", "[server][L4]") {
  init();
  Loop loop;
  pid_t server = 0;
  {
    TestPool pool(loop, ExecutorBackend::process, 1);
    REQUIRE(pool.start().has_value());
    server = server_of(pool);
  }
  ::kill(server, SIGSTOP);
  REQUIRE(test::run_until(loop, [&] { return test::process_state(server) == 'T'; }));
  std::vector<std::unique_ptr<TestPool>> pools;  // each of them asks it for a connection
  std::optional<Error> refused;
  for (int i = 0; i < 2000 && !refused; ++i) {
    pools.push_back(std::make_unique<TestPool>(loop, ExecutorBackend::process, 1));
    pools.back()->pool->start([&](const Result<void>& result) {
      if (!result) refused = result.error();
    });
    test::turn(loop);
  }
  ::kill(server, SIGCONT);
  REQUIRE(refused.has_value());
  CHECK(refused->code() == Errc::pool_broken);
  CHECK_THAT(refused->message(), ContainsSubstring("it is stopped or starved"));
  alone::check_row("pool_broken", refused->message());
}
