// Names of functions come from files, and no deadline waits for those. In a fresh process, which has read none.
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>

#include "alone.hpp"
#include "leasepool/leasepool.hpp"
#include "support/eventually.hpp"
#include "support/with_manager.hpp"

using namespace leasepool;
using namespace std::chrono_literals;

namespace symbols {

// Between the registered function, which is known without symbols, and the C library's, of which a stripped one names
// not all.
[[gnu::noinline]] int pause_for_ever() {
  for (;;) ::pause();
}

int never_return() { return pause_for_ever() + 1; }

std::atomic<bool> files_are_slow = false;
std::atomic<int> reads_that_wait = 0;

}  // namespace symbols

LEASEPOOL_REGISTER(symbols::never_return);

// The library's reads of files, which this program's own pread() stands for.
extern "C" ssize_t pread(int file, void* into, std::size_t size, off_t offset) {
  using Read = ssize_t (*)(int, void*, std::size_t, off_t);
  static const auto read = reinterpret_cast<Read>(::dlsym(RTLD_NEXT, "pread"));
  ++symbols::reads_that_wait;
  symbols::files_are_slow.wait(true);
  --symbols::reads_that_wait;
  return read(file, into, size, offset);
}

namespace symbols {

// How a call ended that hangs until its deadline.
Task<> hang(const ExecutorLease& lease, std::string& message, StackTrace& stack) {
  std::error_code code;
  try {
    auto failing = lease.with({.timeout = 200ms}).run(symbols::never_return);
    co_await failing;
  } catch (const LeasePoolError& failed) {
    code = failed.code();
    message = failed.what();
    stack = failed.stack();
  }
  CHECK(code == Errc::timed_out);
}

Task<> use(LeasedExecutorManager& manager) {
  auto acquired = manager.acquire();
  auto lease = co_await acquired;
  std::string message;
  StackTrace stack;

  files_are_slow = true;
  auto first = hang(lease, message, stack);
  co_await first;
  const bool was_reading = test::eventually([] { return reads_that_wait != 0; });
  CHECK(was_reading);
  CHECK(message.find("late in its time it was in") != std::string::npos);

  files_are_slow = false;
  files_are_slow.notify_all();
  // What was begun is read to its end meanwhile, and some call is the first that finds all names.
  bool is_named = false;
  const auto give_up = std::chrono::steady_clock::now() + 60s;
  while (!is_named && std::chrono::steady_clock::now() < give_up) {
    auto next = hang(lease, message, stack);
    co_await next;
    is_named =
        std::ranges::any_of(stack, [](const StackFrame& frame) { return frame.function.contains("pause_for_ever"); });
  }
  CHECK(is_named);
}

}  // namespace symbols

ALONE_TEST_CASE("a deadline does not wait until symbols have been read", "[crash-report][E6]") {
  Loop loop;
  ManagerOptions options;
  options.backend = ExecutorBackend::process;
  options.max_pools = 1;
  auto body = [](LeasedExecutorManager& manager) -> Task<> {
    auto used = symbols::use(manager);
    co_await used;
  };
  loop.block_on(test::with_manager(loop, options, body));
}
