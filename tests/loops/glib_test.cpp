// A loop in GLib's.
#include <glib-unix.h>

#include "loops/traffic.hpp"

using leasepool::test::Watchdog;

TEST_CASE("100,000 calls and rests from GLib", "[loops]") {
  const Watchdog watchdog("a loop that GLib drives stalls");
  lp::Loop loop;
  GMainLoop* const main_loop = ::g_main_loop_new(nullptr, FALSE);
  const auto dispatch = [](gint /*fd*/, GIOCondition /*condition*/, gpointer driven) -> gboolean {
    static_cast<lp::Loop*>(driven)->dispatch();
    return G_SOURCE_CONTINUE;
  };
  const guint source = ::g_unix_fd_add(loop.poll_fd(), G_IO_IN, dispatch, &loop);
  {
    const Traffic traffic(loop, both_backends(), [&] { ::g_main_loop_quit(main_loop); });
    ::g_main_loop_run(main_loop);
  }
  CHECK(::g_source_remove(source) == TRUE);
  ::g_main_loop_unref(main_loop);
}
