// Messages between the parent and the fork server: small records with descriptors, over a SOCK_SEQPACKET socket, so
// that each arrives whole or not at all. Both ends trust each other; no worker ever holds one of these sockets.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/unique_fd.hpp"
#include "pool/worker_settings.hpp"

namespace leasepool::detail {

enum class ControlType : std::uint32_t {
  connect = 1,   // parent: here is a new connection {connection}
  stand_by,      // parent: fork another server that waits in reserve {its control socket}
  spawn,         // parent: fork a worker {its channel, its status page, its stdout, its stderr, its cgroup if any}
  adopt,         // parent: a worker that an earlier server forked {its pidfd, its cgroup if any}
  spawned,       // server: pid {pidfd}
  spawn_failed,  // server: error
  exited,        // server: wait_status, use; the worker has been reaped
};

// What a process used in its life, as wait4() tells.
struct ResourceUse {
  std::int64_t user_microseconds = 0;
  std::int64_t system_microseconds = 0;
  std::int64_t max_resident_kibibytes = 0;
};

struct ControlMessage {
  ControlType type{};
  std::int32_t error = 0;        // errno of spawn_failed
  std::int32_t wait_status = 0;  // as of waitpid()
  pid_t pid = 0;
  std::uint64_t worker_id = 0;
  WorkerSettings settings{};    // of spawn
  ResourceUse use{};            // of exited
  std::array<char, 16> name{};  // of the worker in the system's process list, terminated
};

struct ControlRecord {
  ControlMessage message;
  std::vector<UniqueFd> fds;  // the receiver's copies, or what the sender may close once it is sent
};

// A pair of connected sockets above the standard streams, close-on-exec. Throws std::system_error.
std::pair<UniqueFd, UniqueFd> make_socket_pair(int type);

// Does not block. 0, or an errno: EAGAIN when the other end is behind, EPIPE when it is gone.
int send_control(int socket, const ControlRecord& record);

enum class ReceiveState { received, nothing_yet, closed };

// Does not block. A record whose descriptors did not all arrive, because this process may not open more, has none.
ReceiveState receive_control(int socket, ControlRecord& record);

}  // namespace leasepool::detail
