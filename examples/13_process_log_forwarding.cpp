// What functions print and log in worker processes comes to the parent's log as records: whose line it is, from which
// call, in order, the last words before a crash included.
#include <leasepool/leasepool.hpp>

#include <cstdio>
#include <cstdlib>
#include <iostream>

int resize_image(int width) {
  leasepool::log(leasepool::LogLevel::info, "resizing to " + std::to_string(width));
  if (width < 0) {
    std::fprintf(stderr, "negative width\n");  // lines of libraries that know nothing of leasepool come as well
    std::abort();
  }
  return width;
}
LEASEPOOL_REGISTER(resize_image);

void print(const leasepool::LogRecord& record) {
  constexpr const char* kLevels[] = {"debug", "info", "warning", "error"};
  if (record.source == leasepool::LogSource::manager) return;  // the library's own words: not in this example
  std::cout << kLevels[static_cast<int>(record.level)] << ' ' << record.owner << ' ' << record.function << ": "
            << record.text << '\n';
}

leasepool::Task<> app(leasepool::Loop& loop) {
  leasepool::ManagerOptions options;
  options.backend = leasepool::ExecutorBackend::process;
  options.max_pools = 1;
  options.workers_per_pool = 1;
  options.log = print;
  leasepool::LeasedExecutorManager manager(loop, options);
  co_await manager.start();
  {
    const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "thumbnails"});
    co_await lease.run(resize_image, 640);
    try {
      co_await lease.run(resize_image, -1);
    } catch (const leasepool::LeasePoolError& error) {
      std::cout << "last words: " << error.crash()->stderr_tail << '\n';
    }
  }
  co_await manager.stop();
}

int main() {
  leasepool::init();
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
