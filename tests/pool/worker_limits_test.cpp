// Limits of worker processes: each is in force inside the worker, and what exceeds one ends as the limit says.
#include "worker/worker_limits.hpp"

#include <fcntl.h>
#include <sys/resource.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "support/sanitized.hpp"
#include "support/skip.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::TestPool;

namespace limit_cases {

std::uint64_t allocate(std::uint64_t bytes) {
  const std::vector<char> memory(bytes);
  return memory.size();
}

std::uint64_t allocate_or_die(std::uint64_t bytes) noexcept { return allocate(bytes); }

void burn() {
  for (volatile bool burning = true; burning;) {
  }
}

// How many descriptors can be opened beside those that are open.
std::uint64_t open_all() {
  std::vector<detail::UniqueFd> open;
  do {
    open.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  } while (open.back());
  return open.size() - 1;
}

std::uint64_t core_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_CORE, &limit) == 0 ? limit.rlim_cur : 1;
}

int niceness() { return ::getpriority(PRIO_PROCESS, 0); }

}  // namespace limit_cases

LEASEPOOL_REGISTER(limit_cases::allocate);
LEASEPOOL_REGISTER(limit_cases::allocate_or_die);
LEASEPOOL_REGISTER(limit_cases::burn);
LEASEPOOL_REGISTER(limit_cases::open_all);
LEASEPOOL_REGISTER(limit_cases::core_limit);
LEASEPOOL_REGISTER(limit_cases::niceness);

namespace {

constexpr std::size_t kMegabyte = std::size_t{1} << 20;
constexpr char kShadow[] = "a sanitizer's shadow memory alone is more than any limit";

detail::PoolOptions with_limits(WorkerLimits limits) {
  detail::PoolOptions options = TestPool::options_for(1);
  options.limits = limits;
  return options;
}

// Why a pool with these limits does not start.
Error start_failure(WorkerLimits limits) {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, with_limits(limits));
  const auto started = pool.start();
  REQUIRE_FALSE(started.has_value());
  return started.error();
}

}  // namespace

TEST_CASE("a function that wants more memory than its worker may have gets std::bad_alloc", "[limits][W1]") {
  if (test::kSanitized) return test::skip(kShadow);
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, with_limits({.memory = 1024 * kMegabyte}));
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  CHECK(pool.result_of(limit_cases::allocate, 100 * kMegabyte).value() == 100 * kMegabyte);
  const auto too_much = pool.result_of(limit_cases::allocate, 2048 * kMegabyte);
  REQUIRE_FALSE(too_much.has_value());
  CHECK_THROWS_AS(too_much.error().raise(), std::bad_alloc);
  CHECK(pool.result_of(pool_functions::process_id).value() == worker);
}

TEST_CASE("a worker that dies for want of memory says so", "[limits][W1]") {
  if (test::kSanitized) return test::skip(kShadow);
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, with_limits({.memory = 1024 * kMegabyte}));
  REQUIRE(pool.start().has_value());
  const auto died = pool.result_of(limit_cases::allocate_or_die, 2048 * kMegabyte);
  REQUIRE_FALSE(died.has_value());
  CHECK(died.error().code() == Errc::worker_crashed);
  CHECK_THAT(died.error().message(),
             ContainsSubstring("SIGABRT") &&
                 ContainsSubstring("after it ran out of memory (WorkerLimits::memory = 1073741824)"));
  const auto later = pool.result_of(pool_functions::exit_at_once, 3);
  CHECK_THAT(later.error().message(), !ContainsSubstring("ran out of memory"));
}

TEST_CASE("memory that the program itself takes more of is refused by start", "[limits][L4]") {
  const Error error = start_failure({.memory = kMegabyte});
  CHECK(error.code() == Errc::pool_broken);
  CHECK_THAT(error.message(), ContainsSubstring("could not set WorkerLimits::memory = 1048576") &&
                                  ContainsSubstring("the program itself takes") &&
                                  ContainsSubstring("no cgroup bounds its memory instead"));
}

TEST_CASE("an address space that cannot be limited is no failure where a cgroup bounds memory", "[limits][L4]") {
  detail::WorkerSettings settings;
  settings.memory = kMegabyte;
  CHECK(detail::set_limits(settings).has_value());
  settings.memory_bounded = 1;
  CHECK_FALSE(detail::set_limits(settings).has_value());
}

TEST_CASE("a worker's limit of memory is said to be in force when it is", "[limits][stats]") {
  Loop loop;
  TestPool unlimited(loop, ExecutorBackend::process, 1);
  REQUIRE(unlimited.start().has_value());
  CHECK((unlimited.totals->memory_bound == MemoryBound::none));
  if (test::kSanitized) return test::skip(kShadow, "the limited one");
  TestPool pool(loop, ExecutorBackend::process, with_limits({.memory = 1024 * kMegabyte}));
  REQUIRE(pool.start().has_value());
  CHECK((pool.totals->memory_bound == MemoryBound::address_space));
}

TEST_CASE("a limit that the system refuses is named by start, with the remedy", "[limits][L4]") {
  const Error error = start_failure({.open_files = std::size_t{1} << 40});
  CHECK(error.code() == Errc::pool_broken);
  CHECK_THAT(error.message(), ContainsSubstring("could not set WorkerLimits::open_files = 1099511627776") &&
                                  ContainsSubstring("ulimit"));
}

TEST_CASE("a call that burns more CPU time than it may is ended by SIGXCPU", "[limits]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, with_limits({.cpu_time = 1ms}));
  REQUIRE(pool.start().has_value());
  for (int i = 0; i < 3; ++i) CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  const auto burned = pool.result_of(limit_cases::burn);
  REQUIRE_FALSE(burned.has_value());
  CHECK(burned.error().code() == Errc::worker_crashed);
  CHECK_THAT(burned.error().message(), ContainsSubstring("SIGXCPU"));
}

TEST_CASE("descriptors, core dumps and niceness are what was asked for", "[limits]") {
  Loop loop;
  TestPool plain(loop, ExecutorBackend::process, 1);
  REQUIRE(plain.start().has_value());
  const int before = plain.result_of(limit_cases::niceness).value();
  TestPool pool(loop, ExecutorBackend::process, with_limits({.open_files = 32, .core_size = 0, .niceness = 3}));
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(limit_cases::open_all).value() < 32);
  CHECK(pool.result_of(limit_cases::open_all).value() >= 16);
  CHECK(pool.result_of(limit_cases::core_limit).value() == 0);
  CHECK(pool.result_of(limit_cases::niceness).value() == std::min(before + 3, 19));
}
