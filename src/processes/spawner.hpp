// Spawner: a pool's connection to the fork server. Asks for workers, and hears what became of them. When the server is
// killed it tells its owner, who has it connect to the successor.
#pragma once

#include <sys/types.h>

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/unique_fd.hpp"
#include "loop/kept_timer.hpp"
#include "loop/loop_core.hpp"
#include "shared/control_socket.hpp"

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
  virtual void worker_not_spawned(std::uint64_t worker_id, std::string_view reason) = 0;
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
  Spawner(const Spawner&) = delete;
  Spawner& operator=(const Spawner&) = delete;
  ~Spawner();

  // Connects. Throws LeasePoolError, std::system_error or std::bad_alloc.
  void open();
  // The same through a connection that was made. Throws std::bad_alloc.
  void open(UniqueFd connection);
  // From open() until the server is lost.
  [[nodiscard]] bool connected() const noexcept { return link_ != nullptr; }

  // Throws std::bad_alloc, and then nothing has changed.
  void spawn(SpawnRequest request);

  // After fork_server_lost(): hands a worker to the new server, which kills it with the connection.
  void adopt(std::uint64_t worker_id, pid_t pid, int pidfd, UniqueFd cgroup);

  // Has the server kill a worker that was spawned or adopted, and which this process may not kill.
  void kill(std::uint64_t worker_id) noexcept;

  // Closes the connection: the server kills what is left of its workers.
  void detach() noexcept;

 private:
  // Shared with the polls in flight on the socket.
  struct Link {
    UniqueFd socket;
    OperationId listen = 0;
    OperationId wait = 0;        // for room
    Spawner* spawner = nullptr;  // null once it is detached
  };

  void send(ControlRecord record);
  void flush() noexcept;
  void wait_for_room() noexcept;
  void try_again_later(int error) noexcept;
  void refuse_first(int error);
  void listen();
  void readable();
  void read_later() noexcept;
  static UniqueFd pidfd_of(ControlRecord& record) noexcept;
  void handle(ControlRecord& record);
  void unlink() noexcept;
  void lost();

  LoopCore& loop_;
  SpawnerOwner* owner_;
  std::shared_ptr<Link> link_;  // null from the server's loss to the next open()
  std::deque<ControlRecord> outgoing_;
  std::unordered_set<std::uint64_t> unanswered_;
  std::vector<std::uint64_t> to_kill_;  // with room for all that live
  std::size_t living_ = 0;
  bool waiting_ = false;  // for room, or a better time
  std::size_t tries_ = 0;
  KeptTimer next_send_{loop_};
  KeptTimer next_receive_{loop_};
};

}  // namespace leasepool::detail
