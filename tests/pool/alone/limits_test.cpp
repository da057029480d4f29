// Starts that fail because the system gives no more threads or processes: they say why, leave nothing, and can be tried
// again.
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "alone.hpp"
#include "leasepool/init.hpp"
#include "leasepool/initializer.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"

using namespace leasepool;
using leasepool::test::TestPool;

namespace {

void limit_processes(pid_t of, rlim_t most) {
  rlimit limit{};
  ::prlimit(of, RLIMIT_NPROC, nullptr, &limit);
  limit.rlim_cur = std::min(most, limit.rlim_max);
  if (::prlimit(of, RLIMIT_NPROC, &limit, nullptr) != 0) throw std::runtime_error("prlimit");
}

}  // namespace

ALONE_TEST_CASE("a thread pool that gets only some of its threads leaves none", "[thread][L4]") {
  if (!alone::become_somebody()) return;
  Loop loop;
  const std::size_t threads = test::thread_count();
  const auto descriptors = test::open_descriptors();
  for (const std::size_t more : {0U, 1U, 3U, 7U}) {
    CAPTURE(more);
    limit_processes(0, threads + more);
    TestPool pool(loop, ExecutorBackend::thread, 8);
    const auto started = pool.start();
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code() == Errc::pool_broken);
    CHECK_THAT(started.error().message(), ContainsSubstring("thread " + std::to_string(more + 1)) &&
                                              ContainsSubstring("cannot be started") &&
                                              ContainsSubstring("raise ulimit -u"));
    CHECK(test::eventually([&] { return test::thread_count() == threads; }));
    CHECK(test::open_descriptors() == descriptors);
  }
  limit_processes(0, RLIM_INFINITY);
  TestPool pool(loop, ExecutorBackend::thread, 8);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of([] { return 1; }).value() == 1);
}

ALONE_TEST_CASE("a thread pool that gets only some of its threads waits for their initializers without blocking",
                "[thread][initializer][L4]") {
  if (!alone::become_somebody()) return;
  std::thread([] {}).join();  // a sanitizer starts one of its own with the first
  Loop loop;
  const std::size_t threads = test::thread_count();
  limit_processes(0, threads + 2);
  std::atomic<bool> go_on = false;
  detail::PoolOptions options = TestPool::options_for(8);
  options.initializer = Initializer([&go_on] { go_on.wait(false); });
  TestPool pool(loop, ExecutorBackend::thread, std::move(options));
  const auto opened = loop.call_after(std::chrono::milliseconds(1), [&] {
    go_on = true;
    go_on.notify_all();
  });
  const auto started = pool.start();
  REQUIRE_FALSE(started.has_value());
  CHECK_THAT(started.error().message(), ContainsSubstring("thread 3") && ContainsSubstring("cannot be started"));
  CHECK(test::eventually([&] { return test::thread_count() == threads; }));
}

ALONE_TEST_CASE("a process pool whose workers cannot be forked says which limit to raise", "[start][L4]") {
  if (!alone::become_somebody()) return;
  init();
  const auto servers = alone::both_fork_servers();
  Loop loop;
  const auto descriptors = test::open_descriptors();
  const auto processes = test::child_processes();
  for (const rlim_t most : {rlim_t{1}, static_cast<rlim_t>(test::thread_count() + 2 + 2)}) {  // none, or two of four
    CAPTURE(most);
    for (const pid_t server : servers) limit_processes(server, most);
    TestPool pool(loop, ExecutorBackend::process, 4);
    const auto started = pool.start();
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code() == Errc::pool_broken);
    CHECK_THAT(started.error().message(), ContainsSubstring("could not fork") && ContainsSubstring("raise ulimit -u"));
    CHECK(test::run_until(loop, [&] { return test::open_descriptors() == descriptors; }));
    CHECK(test::child_processes() == processes);
  }
  for (const pid_t server : servers) limit_processes(server, RLIM_INFINITY);
  TestPool pool(loop, ExecutorBackend::process, 4);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
}
