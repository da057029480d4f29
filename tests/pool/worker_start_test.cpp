// Workers that do not come up: they die or hang before their first word, or cannot be made. A start fails whole and
// says why; a running pool tries again, backing off, and in the end is broken and names the last cause.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <string>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "support/process_state.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::TestPool;
using pool_functions::AtFork;
using pool_functions::shared;

namespace {

// What all processes do from now on that the fork server forks.
class WorkersWill {
 public:
  explicit WorkersWill(AtFork what) { shared().at_fork = what; }
  WorkersWill(const WorkersWill&) = delete;
  WorkersWill& operator=(const WorkersWill&) = delete;
  ~WorkersWill() { shared().at_fork = AtFork::nothing; }
};

// Lets this process open no more descriptors than it has, and then some.
class FewDescriptors {
 public:
  explicit FewDescriptors(int more) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const int lowest_free = ::dup(0);
    ::close(lowest_free);
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(lowest_free + more);
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// How many pidfds this process has: a worker may be ready before its own is here.
std::ptrdiff_t handles_on_workers() {
  return std::ranges::count_if(test::open_descriptors(),
                               [](const std::string& line) { return line.find("pidfd") != std::string::npos; });
}

detail::PoolOptions impatient(std::size_t workers) {
  detail::PoolOptions options = TestPool::options_for(workers);
  options.worker_start_timeout = 100ms;
  return options;
}

}  // namespace

TEST_CASE("a start whose workers die fails with the cause and can be tried again", "[start][L4]") {
  pool_functions::reset_shared();
  Loop loop;
  const auto descriptors = test::open_descriptors();
  const auto processes = test::child_processes();
  {
    const WorkersWill die(AtFork::die);
    TestPool pool(loop, ExecutorBackend::process, 3);
    const auto started = pool.start();
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code() == Errc::pool_broken);
    CHECK_THAT(started.error().message(), ContainsSubstring("cannot be started") && ContainsSubstring("code 9"));
  }
  CHECK(test::run_until(loop, [&] { return test::open_descriptors() == descriptors; }));
  CHECK(test::child_processes() == processes);
  TestPool again(loop, ExecutorBackend::process, 3);
  CHECK(again.start().has_value());
  CHECK(again.result_of(pool_functions::add, 1, 2).value() == 3);
}

TEST_CASE("a start whose workers hang fails after worker_start_timeout and leaves nothing", "[start][L4]") {
  pool_functions::reset_shared();
  Loop loop;
  const auto descriptors = test::open_descriptors();
  const auto processes = test::child_processes();
  {
    const WorkersWill hang(AtFork::hang);
    TestPool pool(loop, ExecutorBackend::process, impatient(2));
    const auto begin = std::chrono::steady_clock::now();
    const auto started = pool.start();
    CHECK(std::chrono::steady_clock::now() - begin >= 100ms);
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code() == Errc::pool_broken);
    CHECK_THAT(started.error().message(), ContainsSubstring("worker_start_timeout") && ContainsSubstring("100 ms"));
  }
  CHECK(test::run_until(loop, [&] { return test::open_descriptors() == descriptors; }));
  CHECK(test::child_processes() == processes);
}

TEST_CASE("a start without descriptors fails, names the limit, and can be tried again", "[start][L4]") {
  Loop loop;
  const auto descriptors = test::open_descriptors();
  const auto processes = test::child_processes();
  int more = 0;
  for (bool enough = false; !enough; ++more) {
    CAPTURE(more);
    TestPool pool(loop, ExecutorBackend::process, 4);
    Result<void> started;
    {
      const FewDescriptors few(more);
      started = pool.start();
    }
    enough = started.has_value();
    if (enough) continue;
    CAPTURE(started.error().message());
    CHECK(started.error().code() == Errc::pool_broken);
    CHECK_THAT(started.error().message(),
               ContainsSubstring("Too many open files") || ContainsSubstring("raise ulimit -n"));
    CHECK(test::run_until(loop, [&] { return test::open_descriptors() == descriptors; }));
    // A worker whose handle did not fit ends by itself.
    CHECK(test::run_until(loop, [&] { return test::child_processes() == processes; }));
  }
  CHECK(more > 4);  // each step of a start had its turn
  TestPool again(loop, ExecutorBackend::process, 4);
  CHECK(again.start().has_value());
}

TEST_CASE("a pool whose workers cannot be replaced backs off and is then broken, naming the last cause",
          "[start][W3]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 8);
  REQUIRE(pool.start().has_value());
  std::chrono::steady_clock::duration took{};
  {
    const WorkersWill die(AtFork::die);
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::shared_ptr<test::Call<void>>> calls;
    for (int i = 0; i < 8; ++i) calls.push_back(pool.call(pool_functions::exit_at_once, 3));
    const auto waiting = pool.call(pool_functions::add, 1, 2);
    CHECK(pool.wait([&] { return pool.pool->broken(); }));
    took = std::chrono::steady_clock::now() - begin;
    CHECK(pool.wait([&] { return waiting->ended() && pool.sink->ended.size() == 9; }));
    for (const auto& call : calls) CHECK(call->code() == Errc::worker_crashed);
    CHECK(waiting->code() == Errc::pool_broken);
    CHECK_THAT(waiting->message(), ContainsSubstring("exited with code 9"));
  }
  // 10, 20, 40, 80 and 160 ms lie between the six tries, however many workers each of them was for.
  CHECK(took >= 310ms);
  const auto late = pool.call(pool_functions::add, 1, 2);
  CHECK(late->code() == Errc::pool_broken);
  CHECK(pool.logged("cannot be replaced"));
  CHECK(pool.close());
}

TEST_CASE("a pool outlives a while in which no worker can be made", "[start][W3]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 8);
  REQUIRE(pool.start().has_value());
  {
    const WorkersWill die(AtFork::die);
    for (int i = 0; i < 8; ++i) (void)pool.call(pool_functions::exit_at_once, 3);
    CHECK(pool.wait([&] { return pool.sink->ended.size() == 8; }));
  }
  // The first replacements died, all at once; the next ones need not.
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  CHECK(pool.wait([&] { return pool.totals->workers_started == 16; }));
  CHECK_FALSE(pool.pool->broken());
}

TEST_CASE("a pool that has no descriptors for a replacement gets it when there are some", "[start][W3]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  REQUIRE(pool.wait([] { return handles_on_workers() == 1; }));
  {
    const FewDescriptors few(0);
    CHECK(pool.result_of(pool_functions::exit_at_once, 3).error().code() == Errc::worker_crashed);
  }
  const auto after = pool.result_of(pool_functions::add, 1, 2);
  CAPTURE(after ? "" : after.error().message());
  CHECK(after.has_value());
}

TEST_CASE("a worker whose handle cannot be received for want of descriptors costs no other", "[start][W2][W3]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  const auto neighbour = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  const pid_t server = pool.result_of(pool_functions::parent_process_id).value();
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  REQUIRE(pool.stop_process(server));
  ::kill(worker, SIGKILL);  // its replacement is asked for, and the server does not answer
  REQUIRE(pool.wait([&] { return pool.totals->workers_crashed == 1; }));
  {
    const FewDescriptors few(0);
    ::kill(server, SIGCONT);
    CHECK(pool.wait([&] { return pool.logged("idle worker"); }));
    test::turn(loop);
    test::turn(loop);
  }
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  CHECK_FALSE(neighbour->ended());
  shared().gate = 1;
  CHECK(pool.wait([&] { return neighbour->ended(); }));
  CHECK(neighbour->succeeded());
}

TEST_CASE("a replacement that hangs is given up and another one made", "[start][W3]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, impatient(1));
  REQUIRE(pool.start().has_value());
  {
    const WorkersWill hang(AtFork::hang);
    CHECK(pool.result_of(pool_functions::exit_at_once, 3).error().code() == Errc::worker_crashed);
    CHECK(pool.wait([] { return shared().forked != 0; }));
  }
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
}

TEST_CASE("a pool can be closed while its workers come up, at any moment", "[start][L6]") {
  pool_functions::reset_shared();
  Loop loop;
  const auto descriptors = test::open_descriptors();
  const auto processes = test::child_processes();
  for (const AtFork what : {AtFork::nothing, AtFork::die, AtFork::hang}) {
    const WorkersWill will(what);
    for (int turns = 0; turns < 4; ++turns) {
      for (const bool at_once : {false, true}) {
        CAPTURE(static_cast<int>(what), turns, at_once);
        TestPool pool(loop, ExecutorBackend::process, 3);
        bool ready = false;
        pool.pool->start([&](const Result<void>&) { ready = true; });
        for (int i = 0; i < turns && !ready; ++i) test::turn(loop);
        if (ready) continue;  // too late, and closed by the destructor
        if (at_once) {
          pool.close_now(60s);
        } else {
          CHECK(pool.close());
        }
        CHECK_FALSE(ready);
      }
    }
  }
  CHECK(test::run_until(loop, [&] { return test::open_descriptors() == descriptors; }));
  CHECK(test::child_processes() == processes);
}
