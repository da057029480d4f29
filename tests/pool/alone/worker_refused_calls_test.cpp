// Workers for which the system refuses a call while they get ready: the start fails with what it was, or goes without
// where that does no harm. None hangs, and none dies without a word.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "alone.hpp"
#include "leasepool/init.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "support/process_state.hpp"
#include "support/refuse.hpp"
#include "support/sanitized.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::TestPool;

namespace {

constexpr std::size_t kMaxRefused = 2;

// Of all workers from now on; the same memory in this program and in all that it forks.
struct Refusal {
  std::array<std::atomic<int>, kMaxRefused> numbers;
  std::atomic<int> error;
};
Refusal& refusal() {
  static auto* const page = static_cast<Refusal*>(
      ::mmap(nullptr, sizeof(Refusal), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return *page;
}

struct Row {
  const char* name;
  std::vector<int> refused;
  int error;
  const char* says;  // null: the start goes without
  void (*set)(detail::PoolOptions&) = [](detail::PoolOptions&) {};
};

const std::vector<Row>& rows() {
  static const std::vector<Row> all{
      {"no /dev and no /proc", {SYS_openat}, ENOENT, nullptr},
      {"no descriptors",
       {SYS_openat, SYS_pipe2},
       EMFILE,
       "its standard input: open(/dev/null) and pipe2: Too many open"},
      {"no stack for handlers", {SYS_sigaltstack}, ENOMEM, nullptr},
      {"no handlers", {SYS_rt_sigaction}, EPERM, nullptr},
      {"no memory to map", {SYS_mmap}, ENOMEM, "mmap for a status page: Cannot allocate memory"},
      {"no no_new_privs", {SYS_prctl}, EPERM, "prctl(PR_SET_NO_NEW_PRIVS): Operation not permitted"},
      {"no channel", {SYS_recvfrom, SYS_recvmsg}, EPERM, "cannot receive calls: recv: Operation not permitted"},
      {"no niceness",
       {SYS_setpriority},
       EPERM,
       "WorkerLimits::niceness = 1: Operation not permitted",
       [](detail::PoolOptions& options) { options.limits.niceness = 1; }},
      {"no limits",
       {SYS_prlimit64},
       EPERM,
       "WorkerLimits::core_size = 0: Operation not permitted",
       [](detail::PoolOptions& options) { options.limits.core_size = 0; }},
      {"no times",
       {SYS_getrusage},
       ENOSYS,
       "WorkerLimits::cpu_time = 1 s: Function not implemented",
       [](detail::PoolOptions& options) { options.limits.cpu_time = 1s; }},
      {"no memory use",
       {SYS_openat},
       EACCES,
       "max_worker_rss: open(/proc/self/statm): Permission denied",
       [](detail::PoolOptions& options) { options.max_worker_rss = std::size_t{1} << 30U; }},
      {"no address space told",
       {SYS_openat},
       EACCES,
       "/proc/self/statm does not tell how much",
       [](detail::PoolOptions& options) { options.limits.memory = std::size_t{1} << 34U; }},
      {"no limits in a sandbox",
       {SYS_prlimit64},
       EPERM,
       "Sandbox::compute(): setrlimit: Operation not permitted",
       [](detail::PoolOptions& options) { options.sandbox = Sandbox::compute(Sandbox::best_effort); }},
  };
  return all;
}

}  // namespace

ALONE_TEST_CASE("a worker says which system call it was refused or goes without", "[start][L4]") {
  if (test::kSanitized) return void(alone::skip("a sanitizer needs what is refused here"));
  (void)refusal();
  ::pthread_atfork(nullptr, nullptr, [] {
    for (const auto& number : refusal().numbers) {
      if (number != 0) (void)test::refuse_call(number, refusal().error);
    }
  });
  leasepool::init();
  Loop loop;
  const auto descriptors = test::open_descriptors();
  for (const Row& row : rows()) {
    CAPTURE(row.name);
    detail::PoolOptions options = TestPool::options_for(1);
    row.set(options);
    refusal().error = row.error;
    for (std::size_t i = 0; i < row.refused.size(); ++i) refusal().numbers[i] = row.refused[i];
    TestPool pool(loop, ExecutorBackend::process, options);
    const auto begin = std::chrono::steady_clock::now();
    const auto started = pool.start();
    for (auto& number : refusal().numbers) number = 0;
    CHECK(std::chrono::steady_clock::now() - begin < options.worker_start_timeout);
    if (row.says == nullptr) {
      CAPTURE(started ? std::string() : started.error().message());
      REQUIRE(started.has_value());
      CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
      continue;
    }
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code() == Errc::pool_broken);
    CHECK_THAT(started.error().message(), ContainsSubstring(row.says));
    CHECK(test::run_until(loop, [&] { return test::open_descriptors() == descriptors; }));
  }
  TestPool again(loop, ExecutorBackend::process, 1);
  REQUIRE(again.start().has_value());
  CHECK(again.result_of(pool_functions::add, 1, 2).value() == 3);
}
