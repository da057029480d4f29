// ForkServer: the parent's handle on the process that forks workers. There is one for the whole program, started while
// it had a single thread, and a second in reserve that takes over when the first is killed, so that no threaded process
// is ever forked.
#pragma once

#include <sys/types.h>

#include <mutex>
#include <optional>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

// Any thread.
class ForkServer {
 public:
  static ForkServer& instance();

  // Starts both servers if they are not; does nothing in a worker. Throws std::system_error, or LeasePoolError when the
  // process has several threads already.
  void start();

  // A new connection, over which workers are spawned (see Spawner). Workers of a connection are killed when it closes.
  // Starts the servers if they are not. Throws LeasePoolError: pool_broken when both servers are gone, unsupported in a
  // worker.
  UniqueFd connect();

 private:
  struct Server {
    pid_t pid = 0;
    UniqueFd control;
  };

  ForkServer() = default;
  void start_locked();
  Server fork_server();
  static void reap(const Server& server);
  void promote_reserve_locked();
  void make_reserve_locked() noexcept;

  std::mutex mutex_;
  bool started_ = false;    // guarded by mutex_, as all below
  bool is_forked_ = false;  // this process is a server, or a worker
  std::optional<Server> active_;
  std::optional<Server> reserve_;
};

}  // namespace leasepool::detail
