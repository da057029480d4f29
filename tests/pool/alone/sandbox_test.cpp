// Sandboxes where the system lacks a part of them: start() names it, and best effort goes without. The system lacks it
// because a filter around the whole program refuses the system call, as a container's would.
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "alone.hpp"
#include "leasepool/function.hpp"
#include "leasepool/init.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "sandbox/landlock.hpp"
#include "sandbox/system_call_filter.hpp"
#include "support/refuse.hpp"
#include "support/sanitized.hpp"

using namespace leasepool;
using leasepool::test::TestPool;
using test::refuse;

namespace sandbox_cases {

bool reads(const std::string& path) { return std::ifstream(path).good(); }

}  // namespace sandbox_cases

LEASEPOOL_REGISTER(sandbox_cases::reads);

namespace {

detail::PoolOptions with_sandbox(const Sandbox& sandbox) {
  detail::PoolOptions options = TestPool::options_for(1);
  options.sandbox = sandbox;
  return options;
}

Error start_failure(const Sandbox& sandbox) {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, with_sandbox(sandbox));
  const auto started = pool.start();
  REQUIRE_FALSE(started.has_value());
  return started.error();
}

// Whether the machine has what this test takes away, or leaves.
bool has_both() {
  return detail::landlock_abi() > 0 && !detail::missing_for_filter() ? true
                                                                     : alone::skip("this machine lacks more already");
}

}  // namespace

ALONE_TEST_CASE("a kernel without Landlock fails the start of sandboxed workers and is named", "[sandbox][B3]") {
  if (!has_both()) return;
  refuse(SYS_landlock_create_ruleset, ENOSYS);
  init();
  for (const Sandbox& sandbox : {Sandbox::compute(), Sandbox::files({"/"}, {})}) {
    const Error error = start_failure(sandbox);
    CHECK(error.code() == Errc::unsupported);
    CHECK_THAT(error.message(), ContainsSubstring("cannot enter Sandbox::" + std::string(name_of(sandbox.profile()))) &&
                                    ContainsSubstring("Landlock is missing: this kernel was built without it") &&
                                    !ContainsSubstring("seccomp") && ContainsSubstring("Sandbox::best_effort"));
    alone::check_row("unsupported", error.message());
  }
  Loop loop;
  TestPool none(loop, ExecutorBackend::process, 1);
  CHECK(none.start().has_value());
}

ALONE_TEST_CASE("a kernel whose Landlock is switched off is told from one that has none", "[sandbox][B3]") {
  if (!has_both()) return;
  refuse(SYS_landlock_create_ruleset, EOPNOTSUPP);
  init();
  CHECK_THAT(start_failure(Sandbox::compute()).message(),
             ContainsSubstring("name landlock in the boot parameter lsm="));
}

ALONE_TEST_CASE("best effort goes without Landlock and keeps the filter", "[sandbox][B3]") {
  if (!has_both()) return;
  refuse(SYS_landlock_create_ruleset, ENOSYS);
  init();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, with_sandbox(Sandbox::compute(Sandbox::best_effort)));
  REQUIRE(pool.start().has_value());
  REQUIRE(pool.totals->sandbox.has_value());
  CHECK(pool.totals->sandbox->seccomp);
  CHECK(pool.totals->sandbox->landlock_abi == 0);
  CHECK_FALSE(pool.totals->sandbox->complete);
  CHECK_FALSE(pool.result_of(sandbox_cases::reads, std::string("/proc/self/status")).value());
}

ALONE_TEST_CASE("a kernel without seccomp fails the start of sandboxed workers and is named", "[sandbox][B3]") {
  if (!has_both()) return;
  refuse(SYS_seccomp, ENOSYS);
  init();
  const Error error = start_failure(Sandbox::compute());
  CHECK(error.code() == Errc::unsupported);
  CHECK_THAT(error.message(), ContainsSubstring("seccomp is missing: this kernel was built without it") &&
                                  !ContainsSubstring("Landlock"));
}

ALONE_TEST_CASE("best effort goes without seccomp and keeps Landlock", "[sandbox][B3]") {
  if (!has_both()) return;
  refuse(SYS_seccomp, ENOSYS);
  init();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, with_sandbox(Sandbox::compute(Sandbox::best_effort)));
  REQUIRE(pool.start().has_value());
  CHECK_FALSE(pool.totals->sandbox->seccomp);
  CHECK(pool.totals->sandbox->landlock_abi > 0);
  CHECK_FALSE(pool.totals->sandbox->complete);
  CHECK_FALSE(pool.result_of(sandbox_cases::reads, std::string("/proc/self/status")).value());
}

ALONE_TEST_CASE("a kernel without both is told so at once", "[sandbox][B3]") {
  if (!has_both()) return;
  refuse(SYS_landlock_create_ruleset, ENOSYS);
  refuse(SYS_seccomp, ENOSYS);
  init();
  CHECK_THAT(start_failure(Sandbox::compute()).message(),
             ContainsSubstring("Landlock is missing") && ContainsSubstring("seccomp is missing"));
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, with_sandbox(Sandbox::compute(Sandbox::best_effort)));
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
}

ALONE_TEST_CASE("a worker with a thread that Landlock would not reach does not start", "[sandbox][B1]") {
  if (test::kThreadSanitized) {
    alone::skip("ThreadSanitizer lets no thread be started there");
    return;
  }
  if (!has_both()) return;
  ::pthread_atfork(nullptr, nullptr, [] {
    pthread_t thread{};
    ::pthread_create(&thread, nullptr, [](void*) -> void* { return ::pause(), nullptr; }, nullptr);
  });
  init();
  const Error error = start_failure(Sandbox::compute());
  CHECK(error.code() == Errc::pool_broken);
  CHECK_THAT(error.message(), ContainsSubstring("threads already; start none in fork handlers"));
}
