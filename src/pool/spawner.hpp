// Spawner: a pool's connection to the fork server. Asks for workers, and hears what became of them. When the server is
// killed it goes over to the one in reserve.
#pragma once

#include <sys/types.h>

#include <deque>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/unique_fd.hpp"
#include "loop/loop_core.hpp"
#include "pool/control_socket.hpp"

namespace leasepool::detail {

struct SpawnRequest {
  std::uint64_t worker_id = 0;
  UniqueFd channel;
  UniqueFd status_page;
  UniqueFd standard_output;
  UniqueFd standard_error;
  UniqueFd cgroup{};  // if it is to have one
  WorkerSettings settings;
  std::string name;
};

struct SpawnedProcess {
  pid_t pid = 0;
  UniqueFd pidfd;
};

// Loop thread only.
class SpawnerOwner {
 public:
  virtual void worker_spawned(std::uint64_t worker_id, SpawnedProcess process) = 0;
  virtual void worker_not_spawned(std::uint64_t worker_id, const std::string& reason) = 0;
  virtual void worker_exited(std::uint64_t worker_id, int wait_status, const ResourceUse& use) = 0;

  // The fork server died, and with it the statuses of the workers it had forked. Those go on; the ones it was asked
  // for and had said nothing of do not come, or find their channel closed.
  virtual void fork_server_lost(const std::unordered_set<std::uint64_t>& unanswered) = 0;

 protected:
  ~SpawnerOwner() = default;
};

// Loop thread only.
class Spawner : public std::enable_shared_from_this<Spawner> {
 public:
  Spawner(LoopCore& loop, SpawnerOwner& owner) : loop_(loop), owner_(&owner) {}

  // Connects. Throws LeasePoolError or std::system_error.
  void open();
  // From open() until the server is lost.
  [[nodiscard]] bool connected() const noexcept { return socket_ != nullptr; }

  void spawn(SpawnRequest request);

  // After fork_server_lost(): hands a worker to the new server, which kills it with the connection.
  void adopt(pid_t pid, int pidfd, UniqueFd cgroup);

  // Closes the connection: the server kills what is left of its workers.
  void let_go() noexcept;

 private:
  void send(ControlMessage message, std::vector<UniqueFd> fds);
  void flush();
  void listen();
  void readable();
  void handle(ControlRecord& record);
  void lost();

  LoopCore& loop_;
  SpawnerOwner* owner_;
  std::shared_ptr<UniqueFd> socket_;  // shared with the polls in flight on it
  std::deque<ControlRecord> outgoing_;
  std::unordered_set<std::uint64_t> unanswered_;
  bool waiting_for_room_ = false;
};

}  // namespace leasepool::detail
