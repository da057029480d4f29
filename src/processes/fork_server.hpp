// ForkServer: a process's handle on the fork servers, which are started while the program has a single thread, so that
// no threaded process is ever forked. The handle is one socket: processes that the program forks have it, too.
#pragma once

#include <sys/types.h>

#include <atomic>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

// Any thread. There is no lock in it: a process that is forked while another thread is here can use its copy.
class ForkServer {
 public:
  static ForkServer& instance();

  // Starts the servers if they are not; does nothing in a worker. Throws std::system_error, or LeasePoolError when the
  // process has several threads already.
  void start();

  // A new connection, over which workers are spawned (see Spawner). Workers of a connection are killed when it closes,
  // or this process ends. Starts the servers if they are not. Throws std::system_error, or LeasePoolError: pool_broken
  // when all servers are gone, unsupported in a worker and where the system has no pidfds.
  UniqueFd connect();

 private:
  ForkServer() = default;
  [[nodiscard]] bool is_started() const noexcept;
  void fork_servers(UniqueFd& ours, UniqueFd theirs);

  std::atomic<int> control_ = -1;  // stays open as long as the process
  std::atomic<ino_t> inode_ = 0;   // of it
  bool is_forked_ = false;         // this process is a server, or a worker
};

}  // namespace leasepool::detail
