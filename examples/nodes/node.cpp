// A node in a program of its own, in place of lpnode: lends two pools until a signal ends it.
#include <leasepool/leasepool.hpp>

#include <csignal>
#include <iostream>

namespace {

leasepool::Task<> lend(leasepool::Loop& loop, const leasepool::RemoteOptions& remote) {
  leasepool::SignalSet signals(loop, {SIGTERM, SIGINT});
  leasepool::ManagerOptions pools;
  pools.backend = leasepool::ExecutorBackend::process;
  pools.max_pools = 2;
  leasepool::Node node(loop, remote, pools);
  co_await node.start();
  std::cout << node.stats().address << std::endl;
  const int signal = co_await signals.next();
  co_await node.stop(signal == SIGINT);  // drains, or ends what runs
}

}  // namespace

int main(int argc, char** argv) {
  leasepool::init();
  leasepool::RemoteOptions remote;
  remote.servers = argc > 1 ? argv[1] : "nats://127.0.0.1:4222";
  if (argc > 3) {
    remote.user = argv[2];
    remote.credentials_file = argv[3];
  }
  leasepool::Loop loop;
  loop.block_on(lend(loop, remote));
}
