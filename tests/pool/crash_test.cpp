// Workers that crash, in every way and at every point of a call: that call fails with the truth, and nothing else.
#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "processes.hpp"
#include "support/sanitized.hpp"

using namespace leasepool;
using leasepool::test::TestPool;
using pool_functions::End;
using pool_functions::shared;

namespace crash_cases {

enum class Moment : int { decoding, running, encoding };

// Comes to its end while a worker decodes, holds or encodes it. The parent can do all three.
struct Trap {
  Moment moment{};
  End how{};

  template <class Archive>
  void save(Archive& archive) const {
    if (moment == Moment::encoding && pool_functions::in_worker()) pool_functions::end_by(how);
    archive(moment, how);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(moment, how);
    if (moment == Moment::decoding && pool_functions::in_worker()) pool_functions::end_by(how);
  }
};

Trap carry(Trap trap) {
  if (trap.moment == Moment::running) pool_functions::end_by(trap.how);
  return trap;
}

// Cannot be encoded in the parent.
struct Refuses {
  template <class Archive>
  void save(Archive&) const {
    throw std::runtime_error("does not want to");
  }
  template <class Archive>
  void load(Archive&) {}
};
int refuse(const Refuses&) { return 0; }

}  // namespace crash_cases

LEASEPOOL_REGISTER(crash_cases::carry);
LEASEPOOL_REGISTER(crash_cases::refuse);

using crash_cases::Moment;
using crash_cases::Trap;

namespace {

struct Row {
  End how;
  const char* says;  // of how the process ended
};
const Row kEnds[] = {
    {End::exit_0, "exited with code 0"},
    {End::exit_3, "exited with code 3"},
    {End::abort, "killed by signal 6 (SIGABRT"},
    {End::bad_access, "killed by signal 11 (SIGSEGV"},
    {End::sigkill, "killed by signal 9 (SIGKILL"},
    {End::stack_overflow, "killed by signal 11 (SIGSEGV"},
    {End::noexcept_throw, "killed by signal 6 (SIGABRT"},
};
constexpr Moment kMoments[] = {Moment::decoding, Moment::running, Moment::encoding};

}  // namespace

TEST_CASE("a crash at any point of a call fails that call alone, says how, and the worker is replaced",
          "[crash][W1][W2][W3]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  const auto neighbour = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  std::uint64_t crashes = 0;
  for (const Moment moment : kMoments) {
    for (const Row& row : kEnds) {
      CAPTURE(static_cast<int>(moment), row.says);
      const pid_t worker = pool.result_of(pool_functions::process_id).value();
      const auto crashed = pool.result_of(crash_cases::carry, Trap{.moment = moment, .how = row.how});
      ++crashes;
      REQUIRE_FALSE(crashed.has_value());
      CAPTURE(crashed.error().message());
      CHECK(crashed.error().code() == Errc::worker_crashed);
      CHECK_THAT(crashed.error().message(), ContainsSubstring(row.says));
      CHECK_THAT(crashed.error().message(), ContainsSubstring("crash_cases::carry"));
      CHECK_THAT(crashed.error().message(), ContainsSubstring("process " + std::to_string(worker)));
      CHECK_THAT(crashed.error().message(), ContainsSubstring("may have run"));
      CHECK(pool.result_of(pool_functions::process_id).value() != worker);
    }
  }
  CHECK(pool.totals->workers_crashed == crashes);
  CHECK(pool.totals->workers_started == 2 + crashes);
  CHECK_FALSE(neighbour->ended());
  shared().gate = 1;
  CHECK(pool.wait([&] { return neighbour->ended(); }));
  CHECK(neighbour->succeeded());
}

TEST_CASE("an exception at any point of a call says where it came from and costs no worker", "[crash][W1]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  const auto failed = [&](Moment moment) {
    return pool.result_of(crash_cases::carry, Trap{.moment = moment, .how = End::exception}).error();
  };

  const Error decoding = failed(Moment::decoding);
  CHECK(decoding.code() == Errc::bad_payload);
  CHECK(decoding.message() == "calling crash_cases::carry failed while decoding its arguments: thrown on purpose");
  const Error running = failed(Moment::running);
  CHECK(running.code() == Errc::remote_exception);
  CHECK_THROWS_AS(running.raise(), std::runtime_error);
  const Error encoding = failed(Moment::encoding);
  CHECK(encoding.code() == Errc::bad_payload);
  CHECK(encoding.message() == "calling crash_cases::carry failed while encoding its result: thrown on purpose");

  if (!test::kSanitized) {  // a sanitizer's allocator ends the process instead
    const auto starved = [&](Moment moment) {
      return pool.result_of(crash_cases::carry, Trap{.moment = moment, .how = End::out_of_memory}).error();
    };
    CHECK(starved(Moment::decoding).message() ==
          "calling crash_cases::carry failed while decoding its arguments: std::bad_alloc");
    CHECK_THROWS_AS(starved(Moment::running).raise(), std::bad_alloc);
    CHECK(starved(Moment::encoding).message() ==
          "calling crash_cases::carry failed while encoding its result: std::bad_alloc");
  }

  const auto refused = pool.result_of(crash_cases::refuse, crash_cases::Refuses{});
  CHECK(refused.error().code() == Errc::bad_payload);
  CHECK(refused.error().message() ==
        "calling crash_cases::refuse failed while encoding its arguments: does not want to");
  CHECK(pool.result_of(pool_functions::process_id).value() == worker);
}

TEST_CASE("a call that its worker had not begun goes to another", "[crash][W2]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  for (std::uint32_t i = 0; i < 5; ++i) {
    const pid_t worker = pool.result_of(pool_functions::process_id).value();
    ::kill(worker, SIGSTOP);  // it takes nothing up any more
    REQUIRE(pool.wait([&] { return test::process_state(worker) == 'T'; }));
    const auto call = pool.call(pool_functions::count_run, i, 0);
    test::turn(loop);
    test::turn(loop);  // sent
    CHECK_FALSE(call->ended());
    ::kill(worker, SIGKILL);
    REQUIRE(pool.wait([&] { return call->ended(); }));
    CHECK(call->succeeded());
    CHECK(call->deliveries == 1);
    CHECK(shared().runs[i] == 1);
  }
  CHECK(pool.totals->workers_crashed == 5);
}

TEST_CASE("calls that wait behind a call that had not begun run all the same", "[crash][W2]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  ::kill(worker, SIGSTOP);
  REQUIRE(pool.wait([&] { return test::process_state(worker) == 'T'; }));
  std::vector<std::shared_ptr<test::Call<std::uint32_t>>> calls;
  for (std::uint32_t i = 0; i < 10; ++i) calls.push_back(pool.call(pool_functions::count_run, i, 0));
  ::kill(worker, SIGKILL);
  CHECK(pool.wait([&] { return std::ranges::all_of(calls, [](const auto& call) { return call->ended(); }); }));
  for (std::uint32_t i = 0; i < 10; ++i) {
    CHECK(calls[i]->succeeded());
    CHECK(shared().runs[i] == 1);
  }
}

TEST_CASE("an idle worker that is killed is replaced at once, and the log says so", "[crash][W3]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  ::kill(worker, SIGKILL);
  CHECK(pool.wait([&] { return pool.totals->workers_started == 3; }));
  CHECK(pool.totals->workers_crashed == 1);
  CHECK(pool.totals->last_replacement_time.has_value());
  CHECK(pool.wait([&] { return pool.logged("idle worker process " + std::to_string(worker)); }));
  CHECK(pool.logged("SIGKILL"));
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
}

TEST_CASE("functions that only kill workers are paused for, and break the pool; one that ends well makes up for them",
          "[crash][W3]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const auto crash = [&] { return pool.result_of(pool_functions::end_running, static_cast<int>(End::sigkill)); };
  for (int i = 0; i < 16; ++i) CHECK(crash().error().code() == Errc::worker_crashed);
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);

  const auto begin = std::chrono::steady_clock::now();
  int crashes = 0;
  Result<int> last = 0;
  for (; !pool.pool->broken(); ++crashes) last = crash();
  CHECK(crashes == 22);
  CHECK(last.error().code() == Errc::worker_crashed);
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(10 + 20 + 40 + 80 + 160));
  const auto refused = pool.result_of(pool_functions::add, 1, 2);
  CHECK(refused.error().code() == Errc::pool_broken);
  CHECK_THAT(refused.error().message(), ContainsSubstring("22 workers in a row died in calls"));
  CHECK_THAT(refused.error().message(), ContainsSubstring("SIGKILL"));
}

TEST_CASE("a stopped worker can be killed, and its call fails", "[crash][W1]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  const auto call = pool.call(pool_functions::stop_itself);
  REQUIRE(pool.wait([&] { return test::process_state(worker) == 'T'; }));
  CHECK_FALSE(call->ended());
  ::kill(worker, SIGKILL);
  REQUIRE(pool.wait([&] { return call->ended(); }));
  CHECK(call->code() == Errc::worker_crashed);
  CHECK_THAT(call->message(), ContainsSubstring("SIGKILL"));
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
}

TEST_CASE("a stopped worker that goes on is not blamed", "[crash]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  const auto call = pool.call(pool_functions::stop_itself);
  REQUIRE(pool.wait([&] { return test::process_state(worker) == 'T'; }));
  ::kill(worker, SIGCONT);
  REQUIRE(pool.wait([&] { return call->ended(); }));
  CHECK(call->succeeded());
  CHECK(pool.totals->workers_crashed == 0);
}
