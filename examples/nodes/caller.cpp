// Calls functions on nodes: the quickstart with another backend.
#include <leasepool/leasepool.hpp>

#include <iostream>

#include "functions.hpp"

namespace {

leasepool::Task<> app(leasepool::Loop& loop, const leasepool::RemoteOptions& remote) {
  leasepool::ManagerOptions options;
  options.backend = leasepool::ExecutorBackend::remote;
  options.remote = remote;
  options.max_pools = 2;
  options.min_pools = 0;  // a lease that is given back is a node's again
  leasepool::LeasedExecutorManager manager(loop, options);
  co_await manager.start();
  {
    auto acquiring = manager.acquire({.owner = "thumbnailer"});
    auto lease = co_await acquiring;
    auto counting = lease.run(jobs::count_primes, 20'000);
    auto naming = lease.run(jobs::thumbnail_name, std::string("cat"), 128);
    auto both = leasepool::when_all(std::move(counting), std::move(naming));
    auto [primes, name] = co_await both;
    std::cout << primes << ' ' << name << '\n';
  }
  co_await manager.stop();
}

}  // namespace

int main(int argc, char** argv) {
  leasepool::RemoteOptions remote;
  remote.servers = argc > 1 ? argv[1] : "nats://127.0.0.1:4222";
  if (argc > 3) {
    remote.user = argv[2];
    remote.credentials_file = argv[3];
  }
  leasepool::Loop loop;
  loop.block_on(app(loop, remote));
}
