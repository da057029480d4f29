// A leasepool loop in GLib's, which is GTK's as well: a source on its descriptor.
#include <leasepool/leasepool.hpp>

#include <glib-unix.h>

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

leasepool::Task<> app(leasepool::Loop& loop, GMainLoop* main_loop) {
  leasepool::LeasedExecutorManager manager(loop, {.backend = leasepool::ExecutorBackend::process, .max_pools = 1});
  co_await manager.start();
  {
    auto lease = co_await manager.acquire({.owner = "glib"});
    const bool prime = co_await lease.run(is_prime, std::uint64_t{1'000'000'007});
    std::cout << "1000000007 is " << (prime ? "prime" : "not prime") << '\n';
  }
  co_await manager.stop();
  g_main_loop_quit(main_loop);
}

// An exception of the loop's callbacks leaves dispatch(), and cannot pass through C: here it ends the program.
gboolean dispatch(gint /*fd*/, GIOCondition /*condition*/, gpointer loop) noexcept {
  static_cast<leasepool::Loop*>(loop)->dispatch();
  return G_SOURCE_CONTINUE;
}

int main() {
  leasepool::init();
  leasepool::Loop loop;
  GMainLoop* const main_loop = g_main_loop_new(nullptr, FALSE);
  const guint source = g_unix_fd_add(loop.poll_fd(), G_IO_IN, dispatch, &loop);

  loop.spawn(app(loop, main_loop));
  g_main_loop_run(main_loop);
  g_source_remove(source);  // before the loop goes
  g_main_loop_unref(main_loop);
}
