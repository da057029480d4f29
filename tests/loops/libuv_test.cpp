// A loop in libuv's.
#include <uv.h>

#include "loops/traffic.hpp"

using leasepool::test::Watchdog;

TEST_CASE("100,000 calls and rests from libuv", "[loops]") {
  const Watchdog watchdog("a loop that libuv drives stalls");
  lp::Loop loop;
  uv_loop_t uv;
  REQUIRE(::uv_loop_init(&uv) == 0);
  uv_poll_t watch;
  REQUIRE(::uv_poll_init(&uv, &watch, loop.poll_fd()) == 0);
  watch.data = &loop;
  REQUIRE(::uv_poll_start(&watch, UV_READABLE, [](uv_poll_t* poll, int /*status*/, int /*events*/) {
            static_cast<lp::Loop*>(poll->data)->dispatch();
          }) == 0);
  {
    const Traffic traffic(loop, both_backends(), [&] { ::uv_close(reinterpret_cast<uv_handle_t*>(&watch), nullptr); });
    CHECK(::uv_run(&uv, UV_RUN_DEFAULT) == 0);  // until nothing is watched any more
  }
  CHECK(::uv_loop_close(&uv) == 0);
}
