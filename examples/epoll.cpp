// A leasepool loop in an epoll set of the program's own: its descriptor is one more to watch.
#include <leasepool/leasepool.hpp>

#include <sys/epoll.h>

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

leasepool::Task<> app(leasepool::Loop& loop, bool& done) {
  leasepool::LeasedExecutorManager manager(loop, {.backend = leasepool::ExecutorBackend::process, .max_pools = 1});
  co_await manager.start();
  {
    auto lease = co_await manager.acquire({.owner = "epoll"});
    const bool prime = co_await lease.run(is_prime, std::uint64_t{1'000'000'007});
    std::cout << "1000000007 is " << (prime ? "prime" : "not prime") << '\n';
  }
  co_await manager.stop();
  done = true;
}

int main() {
  leasepool::init();
  leasepool::Loop loop;
  bool done = false;
  loop.spawn(app(loop, done));

  const leasepool::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event watched{.events = EPOLLIN, .data = {.fd = loop.poll_fd()}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, loop.poll_fd(), &watched) != 0) return 1;
  while (!done) {
    epoll_event ready{};
    if (::epoll_wait(epoll.get(), &ready, 1, -1) != 1) continue;
    if (ready.data.fd == loop.poll_fd()) loop.dispatch();
  }
}
