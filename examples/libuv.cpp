// A leasepool loop in libuv's: a uv_poll_t on its descriptor.
#include <leasepool/leasepool.hpp>

#include <uv.h>

#include <cstdint>
#include <iostream>

// Looks slowly for a divisor.
bool is_prime(std::uint64_t number) {
  for (std::uint64_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return number >= 2;
}
LEASEPOOL_REGISTER(is_prime);

leasepool::Task<> app(leasepool::Loop& loop, uv_poll_t& watch) {
  leasepool::LeasedExecutorManager manager(loop, {.backend = leasepool::ExecutorBackend::process, .max_pools = 1});
  co_await manager.start();
  {
    auto lease = co_await manager.acquire({.owner = "libuv"});
    const bool prime = co_await lease.run(is_prime, std::uint64_t{1'000'000'007});
    std::cout << "1000000007 is " << (prime ? "prime" : "not prime") << '\n';
  }
  co_await manager.stop();
  uv_close(reinterpret_cast<uv_handle_t*>(&watch), nullptr);  // libuv's loop has nothing left to watch, and ends
}

int main() {
  leasepool::init();
  leasepool::Loop loop;
  uv_poll_t watch{};
  watch.data = &loop;
  uv_poll_init(uv_default_loop(), &watch, loop.poll_fd());
  // An exception of the loop's callbacks leaves dispatch(), and cannot pass through C: here it ends the program.
  uv_poll_start(&watch, UV_READABLE, [](uv_poll_t* poll, int /*status*/, int /*events*/) noexcept {
    static_cast<leasepool::Loop*>(poll->data)->dispatch();
  });

  loop.spawn(app(loop, watch));
  uv_run(uv_default_loop(), UV_RUN_DEFAULT);
  uv_loop_close(uv_default_loop());
}
