// A loop in an epoll set of the program's own.
#include <sys/epoll.h>

#include "loops/traffic.hpp"

using leasepool::test::Watchdog;

TEST_CASE("100,000 calls and rests from an epoll set", "[loops]") {
  const Watchdog watchdog("a loop that epoll drives stalls");
  lp::Loop loop;
  const lp::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event watched{.events = EPOLLIN, .data = {.fd = loop.poll_fd()}};
  REQUIRE(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, loop.poll_fd(), &watched) == 0);

  bool ended = false;
  const Traffic traffic(loop, both_backends(), [&] { ended = true; });
  while (!ended) {
    epoll_event readable{};
    if (::epoll_wait(epoll.get(), &readable, 1, -1) == 1) loop.dispatch();
  }
}
