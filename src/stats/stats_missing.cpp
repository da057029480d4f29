// What stands for Loop::serve_stats() in a build without it.
#include "leasepool/error.hpp"
#include "leasepool/loop.hpp"

namespace leasepool {

namespace {

[[noreturn]] void throw_missing() {
  throw LeasePoolError(
      Errc::unsupported,
      "serve_stats() is missing: this build of leasepool was made without it (install libboost-dev and "
      "build again with -Dstats=enabled)");
}

}  // namespace

std::string stats_socket_path(int /*pid*/, int /*number*/) { throw_missing(); }
Address Loop::serve_stats() { throw_missing(); }
Address Loop::serve_stats(UnixEndpoint /*path*/) { throw_missing(); }
Address Loop::serve_stats(Endpoint /*endpoint*/, StatsServerOptions /*options*/) { throw_missing(); }

}  // namespace leasepool
