// Uploads from strangers, each decoded by a process of its own: what one of them does to its process, no other meets.
#include <leasepool/leasepool.hpp>

#include <iostream>
#include <string>

namespace {

// What a decoder with a hole in it could be made to change.
std::string trusted_key = "ours";  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

}  // namespace

std::string decode(const std::string& upload) {
  if (upload.starts_with("EVIL ")) trusted_key = upload.substr(5);
  return upload + ", checked with the key \"" + trusted_key + '"';
}
LEASEPOOL_REGISTER(decode);

leasepool::Task<> serve(leasepool::Loop& loop, leasepool::WorkerReuse reuse) {
  leasepool::ManagerOptions options{
      .backend = leasepool::ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 1};
  options.worker_reuse = reuse;
  options.spare_workers = 2;  // so that the next call finds a fresh worker at once
  leasepool::LeasedExecutorManager manager(loop, options);
  co_await manager.start();
  {
    const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "uploads"});
    for (const char* const upload : {"a picture", "EVIL theirs", "another picture"}) {
      std::cout << "  " << co_await lease.run(decode, upload) << '\n';
    }
  }
  std::cout << "  " << manager.stats().workers_recycled << " workers were replaced\n";
  co_await manager.stop();
}

int main() {
  leasepool::init();
  leasepool::Loop loop;
  std::cout << "WorkerReuse::always\n";
  loop.block_on(serve(loop, leasepool::WorkerReuse::always));
  std::cout << "WorkerReuse::call\n";
  loop.block_on(serve(loop, leasepool::WorkerReuse::call));
}
