// leasepool in a program of asio's: one io_context, asio's own coroutines and timers, and calls on worker processes.
#include <leasepool/asio.hpp>
#include <leasepool/leasepool.hpp>

#include <asio.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>

using namespace std::chrono_literals;

// Looks slowly for a divisor.
bool is_prime(std::uint64_t number) {
  for (std::uint64_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return number >= 2;
}
LEASEPOOL_REGISTER(is_prime);

asio::awaitable<void> app(leasepool::LeasedExecutorManager& manager) {
  co_await leasepool::asio::async_start(manager, asio::use_awaitable);
  {
    const leasepool::AcquireOptions options{.owner = "asio", .timeout = 10s};
    const auto lease = co_await leasepool::asio::async_acquire(manager, options, asio::use_awaitable);
    const bool prime =
        co_await leasepool::asio::async_run(lease, is_prime, std::uint64_t{1'000'000'007}, asio::use_awaitable);
    std::cout << "1000000007 is " << (prime ? "prime" : "not prime") << '\n';

    asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);  // the io_context serves both
    co_await timer.async_wait(asio::use_awaitable);
  }
  co_await leasepool::asio::async_stop(manager, asio::use_awaitable);
}

int main() {
  leasepool::init();
  asio::io_context context(1);
  leasepool::Loop loop;
  auto attached = leasepool::asio::attach(loop, context);
  leasepool::LeasedExecutorManager manager(loop, {.backend = leasepool::ExecutorBackend::process, .max_pools = 1});
  asio::co_spawn(context, app(manager), [&](const std::exception_ptr& thrown) {
    attached.detach();  // context.run() then has nothing left to do
    if (thrown) std::rethrow_exception(thrown);
  });
  context.run();
}
