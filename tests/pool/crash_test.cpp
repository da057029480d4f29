// Workers that crash, in every way and at every point of a call: that call fails with the truth, and nothing else.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "processes.hpp"
#include "support/sanitized.hpp"
#include "support/skip.hpp"

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

// Bytes that the process has mapped.
std::uint64_t address_space() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t pages = 0;
  file >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Gives 1 once the process that it forked has ended; that one returns, or throws.
int fork_and_return(bool child_throws) {
  const pid_t child = ::fork();
  if (child != 0) return ::waitpid(child, nullptr, 0) == child ? 1 : 0;
  if (child_throws) throw std::runtime_error("exec failed");
  return 2;
}

}  // namespace crash_cases

LEASEPOOL_REGISTER(crash_cases::fork_and_return);
LEASEPOOL_REGISTER(crash_cases::carry);
LEASEPOOL_REGISTER(crash_cases::refuse);
LEASEPOOL_REGISTER(crash_cases::address_space);

using crash_cases::Moment;
using crash_cases::Trap;

namespace {

// One cell of the matrix.
struct Row {
  Moment moment;
  End how;
  Errc code;
  const char* says;
};

constexpr char kDecoding[] = "calling crash_cases::carry failed while decoding its arguments: ";
constexpr char kEncoding[] = "calling crash_cases::carry failed while encoding its result: ";
constexpr char kThrown[] = "thrown on purpose";
constexpr char kNoMemory[] = "std::bad_alloc";
constexpr char kSegmentationFault[] = "killed by signal 11 (SIGSEGV";
constexpr char kAborted[] = "killed by signal 6 (SIGABRT";

const Row kMatrix[] = {
    {Moment::decoding, End::exception, Errc::bad_payload, kThrown},
    {Moment::decoding, End::exit_0, Errc::worker_crashed, "exited with code 0"},
    {Moment::decoding, End::exit_3, Errc::worker_crashed, "exited with code 3"},
    {Moment::decoding, End::abort, Errc::worker_crashed, kAborted},
    {Moment::decoding, End::bad_access, Errc::worker_crashed, kSegmentationFault},
    {Moment::decoding, End::sigkill, Errc::worker_crashed, "killed by signal 9 (SIGKILL"},
    {Moment::decoding, End::stack_overflow, Errc::worker_crashed, kSegmentationFault},
    {Moment::decoding, End::noexcept_throw, Errc::worker_crashed, kAborted},
    {Moment::decoding, End::out_of_memory, Errc::bad_payload, kNoMemory},
    {Moment::running, End::exception, Errc::remote_exception, kThrown},
    {Moment::running, End::exit_0, Errc::worker_crashed, "exited with code 0"},
    {Moment::running, End::exit_3, Errc::worker_crashed, "exited with code 3"},
    {Moment::running, End::abort, Errc::worker_crashed, kAborted},
    {Moment::running, End::bad_access, Errc::worker_crashed, kSegmentationFault},
    {Moment::running, End::sigkill, Errc::worker_crashed, "killed by signal 9 (SIGKILL"},
    {Moment::running, End::stack_overflow, Errc::worker_crashed, kSegmentationFault},
    {Moment::running, End::noexcept_throw, Errc::worker_crashed, kAborted},
    {Moment::running, End::out_of_memory, Errc::remote_exception, kNoMemory},
    {Moment::encoding, End::exception, Errc::bad_payload, kThrown},
    {Moment::encoding, End::exit_0, Errc::worker_crashed, "exited with code 0"},
    {Moment::encoding, End::exit_3, Errc::worker_crashed, "exited with code 3"},
    {Moment::encoding, End::abort, Errc::worker_crashed, kAborted},
    {Moment::encoding, End::bad_access, Errc::worker_crashed, kSegmentationFault},
    {Moment::encoding, End::sigkill, Errc::worker_crashed, "killed by signal 9 (SIGKILL"},
    {Moment::encoding, End::stack_overflow, Errc::worker_crashed, kSegmentationFault},
    {Moment::encoding, End::noexcept_throw, Errc::worker_crashed, kAborted},
    {Moment::encoding, End::out_of_memory, Errc::bad_payload, kNoMemory},
};

// The cells of memory, with a worker that has a limit.
constexpr std::size_t kMemoryLimit = std::size_t{1} << 30;
constexpr char kSaysLimit[] = "after it ran out of memory (WorkerLimits::memory = 1073741824)";
const Row kMatrixOfMemory[] = {
    {Moment::decoding, End::memory_limit, Errc::bad_payload, kNoMemory},
    {Moment::decoding, End::memory_limit_fatal, Errc::worker_crashed, kSaysLimit},
    {Moment::running, End::memory_limit, Errc::remote_exception, kNoMemory},
    {Moment::running, End::memory_limit_fatal, Errc::worker_crashed, kSaysLimit},
    {Moment::encoding, End::memory_limit, Errc::bad_payload, kNoMemory},
    {Moment::encoding, End::memory_limit_fatal, Errc::worker_crashed, kSaysLimit},
};

const char* name_of(Moment moment) {
  return moment == Moment::decoding ? "decoding" : moment == Moment::running ? "running" : "encoding";
}

// Whether the error tells the truth about how the call ended.
void check_error(const Error& error, const Row& row, pid_t worker) {
  CAPTURE(error.message());
  CHECK(error.code() == row.code);
  switch (static_cast<Errc>(error.code().value())) {
    case Errc::worker_crashed:
      CHECK_THAT(error.message(), ContainsSubstring(row.says) && ContainsSubstring("crash_cases::carry") &&
                                      ContainsSubstring("process " + std::to_string(worker)) &&
                                      ContainsSubstring("may have run"));
      REQUIRE(error.crash() != nullptr);
      CHECK(error.crash()->out_of_memory == (row.how == End::memory_limit_fatal));
      break;
    case Errc::bad_payload:
      CHECK(error.message() == (row.moment == Moment::decoding ? kDecoding : kEncoding) + std::string(row.says));
      break;
    default:
      if (row.says == kNoMemory) {
        CHECK_THROWS_AS(error.raise(), std::bad_alloc);
      } else {
        CHECK_THROWS_WITH(error.raise(), row.says);
      }
  }
}

// Runs all cells beside a call that runs all the while. A worker that can go on does so; another is replaced at once.
void check_matrix(std::span<const Row> rows, std::optional<std::size_t> memory) {
  pool_functions::reset_shared();
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(2);
  options.limits.memory = memory;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  const auto neighbour = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  std::uint64_t crashes = 0;
  for (const Row& row : rows) {
    CAPTURE(name_of(row.moment), static_cast<int>(row.how), row.says);
    if (test::kSanitized && row.how == End::out_of_memory) {
      test::skip("a sanitizer's allocator ends the process", std::string("out of memory while ") + name_of(row.moment));
      continue;
    }
    const pid_t worker = pool.result_of(pool_functions::process_id).value();
    const auto ended = pool.result_of(crash_cases::carry, Trap{.moment = row.moment, .how = row.how});
    REQUIRE_FALSE(ended.has_value());
    check_error(ended.error(), row, worker);
    const bool dies = row.code == Errc::worker_crashed;
    crashes += dies ? 1 : 0;
    CHECK((pool.result_of(pool_functions::process_id).value() != worker) == dies);
    CHECK(pool.totals->workers_crashed == crashes);
  }
  CHECK(pool.totals->workers_started == 2 + crashes);
  CHECK_FALSE(neighbour->ended());
  shared().gate = 1;
  CHECK(pool.wait([&] { return neighbour->ended(); }));
  CHECK(neighbour->succeeded());
}

}  // namespace

TEST_CASE("every end at every point of a call fails that call alone, with the truth", "[crash][W1][W2][W3]") {
  check_matrix(kMatrix, std::nullopt);
}

TEST_CASE("memory that runs out at any point of a call fails that call alone, with the truth", "[crash][W1][limits]") {
  if (test::kSanitized) return test::skip("a sanitizer's shadow memory alone is more than any limit");
  check_matrix(kMatrixOfMemory, kMemoryLimit);
}

TEST_CASE("an argument for which a worker has no memory fails its call, and its worker only where it must",
          "[crash][W1][limits]") {
  if (test::kSanitized) return test::skip("a sanitizer's shadow memory alone is more than any limit");
  constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;
  Loop loop;
  TestPool unlimited(loop, ExecutorBackend::process, 1);
  REQUIRE(unlimited.start().has_value());
  const std::uint64_t own = unlimited.result_of(crash_cases::address_space).value();
  for (const bool fits_as_frame : {true, false}) {
    CAPTURE(fits_as_frame);
    detail::PoolOptions options = TestPool::options_for(1);
    options.limits.memory = own + (fits_as_frame ? 48 + 24 : 24) * kMebibyte;
    TestPool pool(loop, ExecutorBackend::process, std::move(options));
    REQUIRE(pool.start().has_value());
    const pid_t worker = pool.result_of(pool_functions::process_id).value();
    const auto failed = pool.result_of(pool_functions::length_of, std::string(48 * kMebibyte, 'x'));
    REQUIRE_FALSE(failed.has_value());
    CAPTURE(failed.error().message());
    if (fits_as_frame) {
      CHECK(failed.error().code() == Errc::bad_payload);
      CHECK(failed.error().message() ==
            "calling pool_functions::length_of failed while decoding its arguments: std::bad_alloc");
    } else {
      CHECK(failed.error().code() == Errc::worker_crashed);
      CHECK_THAT(failed.error().message(), ContainsSubstring("after it ran out of memory (WorkerLimits::memory = "));
      CHECK(failed.error().crash()->out_of_memory);
    }
    CHECK(pool.result_of(pool_functions::length_of, std::string(8 * kMebibyte, 'x')).value() == 8 * kMebibyte);
    CHECK((pool.result_of(pool_functions::process_id).value() == worker) == fits_as_frame);
  }
}

TEST_CASE("arguments that cannot be encoded fail their call and cost no worker", "[crash][W1]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
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
    REQUIRE(pool.stop_process(worker));  // it takes nothing up any more
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
  REQUIRE(pool.stop_process(worker));
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

TEST_CASE("a process that a function forked does not go on in its worker's place", "[crash][W1]") {
  const bool child_throws = GENERATE(false, true);
  CAPTURE(child_throws);
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  for (int i = 0; i < 20; ++i) {
    CHECK(pool.result_of(crash_cases::fork_and_return, child_throws).value() == 1);
    CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  }
  CHECK(pool.totals->workers_crashed == 0);
  CHECK(pool.wait([&] { return pool.logged("a process that crash_cases::fork_and_return forked came back from it"); }));
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
