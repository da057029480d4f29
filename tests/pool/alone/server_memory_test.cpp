// The fork server without memory: a request is answered, nobody dies, and it goes on when there is some again.
#include <sys/mman.h>
#include <sys/prctl.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>

#include "alone.hpp"
#include "leasepool/init.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::TestPool;

namespace server_memory {

// In all processes that are called like fork servers, those that are to become workers among them.
struct Plan {
  std::atomic<int> first;  // to fail, counted from 1; 0: none
  std::atomic<int> last;
  std::atomic<int> seen;
};

Plan& plan() {
  static auto* const shared =
      static_cast<Plan*>(::mmap(nullptr, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return *shared;
}
Plan* const made_before_main = &plan();  // null before

bool fails_now() {
  if (made_before_main == nullptr || made_before_main->first == 0) return false;
  char name[16] = "";
  ::prctl(PR_GET_NAME, name);
  if (std::strcmp(name, "lp-forkserver") != 0) return false;
  const int number = ++made_before_main->seen;
  return number >= made_before_main->first && number <= made_before_main->last;
}

void arm(int first, int last) {
  plan().seen = 0;
  plan().last = last;
  plan().first = first;
}

}  // namespace server_memory

void* operator new(std::size_t size) {
  if (server_memory::fails_now()) throw std::bad_alloc();
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t& /*null instead*/) noexcept {
  return server_memory::fails_now() ? nullptr : std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }

namespace {

detail::PoolOptions impatient() {
  detail::PoolOptions options = TestPool::options_for(3);
  options.worker_start_timeout = 5s;
  return options;
}

// A start, a crash and a replacement. Nothing, or what the start said.
std::string use(Loop& loop) {
  TestPool pool(loop, ExecutorBackend::process, impatient());
  if (const auto started = pool.start(); !started) return started.error().message();
  CHECK(pool.result_of(pool_functions::exit_at_once, 3).error().code() == Errc::worker_crashed);
  const auto sum = pool.result_of(pool_functions::add, 1, 2);
  CHECK((sum.has_value() && *sum == 3));
  CHECK(pool.close());
  return {};
}

}  // namespace

ALONE_TEST_CASE("a fork server survives each allocation that fails", "[server][memory][L4]") {
  init();
  const auto servers = alone::both_fork_servers();
  Loop loop;
  CHECK(use(loop) == "");
  int failed = 0;
  for (int number = 1;; ++number) {
    CAPTURE(number);
    server_memory::arm(number, number);
    const std::string failure = use(loop);
    const bool was_all = server_memory::plan().seen < number;
    server_memory::arm(0, 0);
    CAPTURE(failure);
    CHECK((failure.empty() || failure.find("a worker cannot be started") != std::string::npos));
    failed += failure.empty() ? 0 : 1;
    CHECK(use(loop) == "");
    if (was_all) break;
    REQUIRE(number < 1000);
  }
  std::printf("%d starts failed\n", failed);
  CHECK(alone::fork_servers() == servers);
}

ALONE_TEST_CASE("a fork server without any memory says so and serves when there is some", "[server][memory][L4]") {
  init();
  const auto servers = alone::both_fork_servers();
  Loop loop;
  for (int i = 0; i < 3; ++i) {
    server_memory::arm(1, 1 << 30);
    // A connection that it has no room for waits.
    CHECK_THAT(use(loop), ContainsSubstring("Cannot allocate memory") || ContainsSubstring("no memory") ||
                              ContainsSubstring("worker_start_timeout"));
    server_memory::arm(0, 0);
    CHECK(use(loop) == "");
  }
  CHECK(alone::fork_servers() == servers);
}
