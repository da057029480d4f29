// Calls functions of a library that is linked with -Bsymbolic; and at the end of the program, when static objects go
// and registrations are among them.
#include <cstdio>

#include "leasepool/leasepool.hpp"
#include "library.hpp"
#include "twice.hpp"

namespace lp = leasepool;

static lp::Task<> call_all(lp::Loop& loop) {
  lp::LeasedExecutorManager manager(loop,
                                    {.backend = lp::ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 1});
  co_await manager.start();
  {
    auto lease = co_await manager.acquire();
    const int own_twice = co_await lease.run(twice, 4);
    const int other_twice = co_await lease.run(twice_of_the_library(), 5);
    const int halved = co_await lease.run(half, 6);
    std::printf("%d %d %d %s\n", own_twice, other_twice, halved, twice == twice_of_the_library() ? "one" : "two");
  }
  co_await manager.stop();
}

// The first static object of the program, and therefore the last to go.
struct AtExit {
  ~AtExit() {
    try {
      lp::Loop loop;
      loop.block_on(call_all(loop));
    } catch (const std::exception& error) {
      std::printf("%s\n", error.what());
    }
  }
};
[[gnu::init_priority(200)]] static const AtExit at_exit;

int main() { lp::init(); }
