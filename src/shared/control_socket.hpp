// Messages between the parent and the fork server: small records with descriptors, over a SOCK_SEQPACKET socket, so
// that each arrives whole or not at all. Both ends trust each other; no worker ever holds one of these sockets. Nothing
// here takes memory.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/check.hpp"
#include "base/unique_fd.hpp"
#include "shared/identity.hpp"
#include "shared/worker_settings.hpp"

namespace leasepool::detail {

enum class ControlType : std::uint32_t {
  started = 1,   // server, once: it is ready; or error, and then it is gone
  connect,       // parent: a new connection of a process {the connection, the process's pidfd, its root directory}
  spawn,         // parent: fork a worker {its channel, its status page, its stdout, its stderr, its cgroup if any}
  adopt,         // parent: a worker that an earlier server forked {its pidfd, its cgroup if any}
  kill,          // parent: a worker that it may not kill itself
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
  std::int32_t error = 0;        // errno of started and spawn_failed
  std::int32_t wait_status = 0;  // as of waitpid()
  pid_t pid = 0;
  std::uint64_t worker_id = 0;
  WorkerSettings settings{};    // of spawn
  Identity identity{};          // of connect
  ResourceUse use{};            // of exited
  std::array<char, 16> name{};  // of spawn: the worker's in the system's process list; of an error: the call's

  // Cut to what there is room for.
  void set_name(std::string_view text) noexcept { name[text.copy(name.data(), name.size() - 1)] = '\0'; }
};
static_assert(std::has_unique_object_representations_v<ControlMessage>, "no bytes between members go with it");

// Descriptors of one record.
class ControlFds {
 public:
  static constexpr std::size_t kMax = 5;

  void push_back(UniqueFd fd) noexcept {
    check(size_ < kMax, "a record has room for its descriptors");
    fds_[size_++] = std::move(fd);
  }
  void clear() noexcept { *this = {}; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] UniqueFd& operator[](std::size_t at) noexcept { return fds_[at]; }
  [[nodiscard]] std::span<const UniqueFd> all() const noexcept { return {fds_.data(), size_}; }

 private:
  std::array<UniqueFd, kMax> fds_;
  std::size_t size_ = 0;
};

struct ControlRecord {
  ControlMessage message;
  ControlFds fds;  // the receiver's copies, or what the sender may close once it is sent
};

// A pair of connected sockets above the standard streams, close-on-exec. Throws std::system_error.
std::pair<UniqueFd, UniqueFd> make_socket_pair(int type);

// Does not block. 0, or an errno: see is_gone(); EAGAIN when the other end is behind; all others may pass.
int send_control(int socket, const ControlMessage& message, std::span<const UniqueFd> fds = {}) noexcept;

// Whether such an errno says that nobody holds the other end any more.
bool is_gone(int error) noexcept;

enum class ReceiveState { received, nothing_yet, try_later, closed };

// Does not block. A record whose descriptors did not all arrive, because this process may not open more, has none.
// try_later: the kernel has no memory for it.
ReceiveState receive_control(int socket, ControlRecord& record) noexcept;

// Looks at what comes next, and leaves it there.
ReceiveState peek_control(int socket, ControlType& type) noexcept;

}  // namespace leasepool::detail
