// A worker process for which one allocation fails, whichever it is: before its hello, or around a call. A program of
// its own, for its operator new. What fails is a typed error, and the next call works.
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "leasepool/fd.hpp"
#include "leasepool/function.hpp"
#include "leasepool/sandbox.hpp"
#include "pool/harness.hpp"

namespace {

// The same memory in this program and in all that it forks.
struct Shared {
  std::atomic<std::uint64_t> fails_from_fork_on;  // the n-th allocation of each worker that is forked; 0: none
  std::atomic<std::uint64_t> failed;              // how many have
};
Shared& shared() {
  static auto* const page =
      static_cast<Shared*>(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return *page;
}

std::atomic<std::uint64_t> until_failure = 0;  // of this process; 0: none will fail

[[maybe_unused]] const int at_fork = [] {
  (void)shared();
  return ::pthread_atfork(nullptr, nullptr, [] { until_failure = shared().fails_from_fork_on.load(); });
}();

void* allocate(std::size_t size) {
  if (until_failure.load(std::memory_order_relaxed) != 0 && until_failure.fetch_sub(1) == 1) {
    ++shared().failed;
    throw std::bad_alloc();
  }
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t /*size*/) noexcept { std::free(memory); }

namespace memory_cases {

using leasepool::Fd;

// The n-th allocation of this worker fails from now on, once.
void fail(std::uint64_t n) { until_failure = n; }

std::int64_t add(std::int64_t a, std::int64_t b) { return a + b; }
std::string echo(std::string text) { return text; }
std::string repeat(std::size_t size) { return std::string(size, 'r'); }
int throw_text(const std::string& text) { throw std::runtime_error(text); }
int throw_code() { throw std::system_error(std::make_error_code(std::errc::no_such_file_or_directory), "a file"); }
struct OwnError : std::exception {
  [[nodiscard]] const char* what() const noexcept override { return "of its own type"; }
};
int throw_own() { throw OwnError(); }
std::map<std::string, std::vector<int>> nested(std::map<std::string, std::vector<int>> value) { return value; }
std::vector<Fd> pass(std::vector<Fd> fds) { return fds; }
int logs() {
  leasepool::log(leasepool::LogLevel::info, "one line\nand another");
  return 1;
}

}  // namespace memory_cases

LEASEPOOL_REGISTER(memory_cases::fail);
LEASEPOOL_REGISTER(memory_cases::add);
LEASEPOOL_REGISTER(memory_cases::echo);
LEASEPOOL_REGISTER(memory_cases::repeat);
LEASEPOOL_REGISTER(memory_cases::throw_text);
LEASEPOOL_REGISTER(memory_cases::throw_code);
LEASEPOOL_REGISTER(memory_cases::throw_own);
LEASEPOOL_REGISTER(memory_cases::nested);
LEASEPOOL_REGISTER(memory_cases::pass);
LEASEPOOL_REGISTER(memory_cases::logs);

using namespace leasepool;
using namespace memory_cases;
using leasepool::test::TestPool;

namespace {

// What a call may end in whose worker had no memory: with its function's own exception, or std::bad_alloc in its place;
// with what could not be decoded, encoded or told; or with the worker, which then says why.
template <class R>
void check_failure(const Result<R>& result) {
  const Error& error = result.error();
  CAPTURE(error.message());
  const bool crashed_for_memory = error.crash() != nullptr && error.crash()->out_of_memory;
  const bool is_told = error.code() == Errc::bad_payload || error.code() == Errc::remote_exception ||
                       error.code() == Errc::payload_too_large;
  CHECK((is_told || crashed_for_memory));
}

template <class R>
void check_outcome(const Result<R>& result, const R& expected) {
  if (result) CHECK(*result == expected);
  if (!result) check_failure(result);
}

// Has each allocation fail in turn, until there are no more of them, in a worker that runs one call. Gives how many
// there were.
std::uint64_t each_failing(TestPool& pool, const std::function<void()>& call) {
  for (std::uint64_t n = 1;; ++n) {
    CAPTURE(n);
    const std::uint64_t failed_before = shared().failed;
    REQUIRE(pool.result_of(fail, n).has_value());
    call();
    REQUIRE(pool.result_of(fail, std::uint64_t{0}).has_value());
    CHECK(pool.result_of(add, 1, 2).value() == 3);
    if (shared().failed == failed_before) return n - 1;
  }
}

detail::PoolOptions options(bool shared_memory) {
  detail::PoolOptions made = TestPool::options_for(1);
  made.shared_memory = shared_memory;
  made.max_payload = 1'000'000;
  return made;
}

}  // namespace

TEST_CASE("a call for which its worker lacks memory fails with a typed error, and the next one works",
          "[no_memory][W1][E1]") {
  const bool shared_memory = GENERATE(true, false);
  CAPTURE(shared_memory);
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options(shared_memory));
  REQUIRE(pool.start().has_value());
  const auto text = [](std::size_t size) { return std::string(size, 't'); };

  SECTION("small") {
    CHECK(each_failing(pool, [&] {
            const auto result = pool.result_of(echo, text(2000));
            check_outcome(result, text(2000));
          }) > 0);
  }
  SECTION("large") {
    CHECK(each_failing(pool, [&] {
            const auto result = pool.result_of(echo, text(300'000));
            check_outcome(result, text(300'000));
          }) > 0);
  }
  SECTION("nested") {
    const std::map<std::string, std::vector<int>> value{{text(100), {1, 2, 3}}, {text(50), {4, 5}}};
    CHECK(each_failing(pool, [&] {
            const auto result = pool.result_of(nested, value);
            check_outcome(result, value);
          }) > 4);
  }
  SECTION("too large") {
    CHECK(each_failing(pool, [&] {
            const auto result = pool.result_of(repeat, 1'000'001);
            REQUIRE_FALSE(result.has_value());
            check_failure(result);
          }) > 2);
  }
  SECTION("with an exception") {
    CHECK(each_failing(pool, [&] {
            for (const std::size_t size : {std::size_t{10}, std::size_t{5000}}) {
              const auto result = pool.result_of(throw_text, text(size));
              REQUIRE_FALSE(result.has_value());
              check_failure(result);
            }
            const auto code = pool.result_of(throw_code);
            REQUIRE_FALSE(code.has_value());
            check_failure(code);
            const auto own = pool.result_of(throw_own);
            REQUIRE_FALSE(own.has_value());
            check_failure(own);
          }) > 3);
  }
  SECTION("with descriptors") {
    CHECK(each_failing(pool, [&] {
            std::vector<Fd> fds;
            for (int i = 0; i < 20; ++i) fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
            const auto result = pool.result_of(pass, std::move(fds));
            if (result) CHECK(result->size() == 20);
            if (!result) check_failure(result);
          }) > 3);
  }
  SECTION("with a log") {
    (void)each_failing(pool, [&] {
      const auto result = pool.result_of(logs);
      check_outcome(result, 1);
    });
  }
}

TEST_CASE("a worker that lacks memory before it is ready says so, and the next start works", "[no_memory][L4]") {
  const auto sandbox = GENERATE(as<int>(), 0, 1, 2);
  CAPTURE(sandbox);
  detail::PoolOptions with = options(true);
  if (sandbox == 1) with.sandbox = Sandbox::compute(Sandbox::best_effort);
  if (sandbox == 2) with.sandbox = Sandbox::files({"/usr"}, {"/tmp"}, Sandbox::best_effort);
  Loop loop;
  std::uint64_t failures = 0;
  for (std::uint64_t n = 1;; ++n) {
    CAPTURE(n);
    const std::uint64_t failed_before = shared().failed;
    shared().fails_from_fork_on = n;
    TestPool pool(loop, ExecutorBackend::process, with);
    const auto started = pool.start();
    shared().fails_from_fork_on = 0;
    if (!started) {
      ++failures;
      CAPTURE(started.error().message());
      CHECK(started.error().code() == Errc::pool_broken);
      CHECK_THAT(started.error().message(), ContainsSubstring("memory") || ContainsSubstring("bad_alloc"));
    }
    if (shared().failed == failed_before) {
      CHECK(started.has_value());
      break;
    }
  }
  CHECK(failures > 1);
}
