// A build without pools on other machines: whoever asks for them hears which option is missing.
#include <leasepool/leasepool.hpp>

#include <optional>
#include <string>

#include "catch.hpp"

namespace remote_missing {

using namespace leasepool;

}  // namespace remote_missing

TEST_CASE("N1: a build without nodes says so, and by which option it would have them", "[remote][N1]") {
  using namespace remote_missing;
  Loop loop;
  const auto error_of = [&](auto starts) -> Task<std::string> {
    try {
      co_await starts;
    } catch (const LeasePoolError& error) {
      if (error.code() == Errc::unsupported) co_return error.what();
    }
    co_return std::string();
  };
  ManagerOptions options{.backend = ExecutorBackend::remote, .max_pools = 1, .min_pools = 0};
  options.remote.servers = "nats://127.0.0.1:4222";
  LeasedExecutorManager manager(loop, options);
  CHECK_THAT(loop.block_on(error_of(manager.start())),
             ContainsSubstring("backend = remote is missing") && ContainsSubstring("-Dremote=enabled"));
  Node node(loop, {.servers = "nats://127.0.0.1:4222"}, {.backend = ExecutorBackend::thread, .max_pools = 1});
  CHECK_THAT(loop.block_on(error_of(node.start())), ContainsSubstring("-Dremote=enabled"));
  CHECK_THAT(loop.block_on(error_of(ask_nodes(loop, {.servers = "nats://127.0.0.1:4222"}))),
             ContainsSubstring("-Dremote=enabled"));
}
