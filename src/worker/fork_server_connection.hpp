// ServerConnection: the fork server's end of one connection: its workers, and the conversation about them.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <ctime>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"
#include "shared/control_socket.hpp"
#include "shared/identity.hpp"
#include "worker/forked_worker.hpp"

namespace leasepool::detail {

inline timespec as_timespec(Duration time) noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  return {.tv_sec = seconds.count(), .tv_nsec = (time - seconds).count()};
}

// Between two tries of what the system refused.
inline constexpr Duration kServerPause = std::chrono::milliseconds(10);

inline void rest() noexcept {
  const timespec pause = as_timespec(kServerPause);
  ::nanosleep(&pause, nullptr);
}

// Sends it, and again after a rest where that is refused, so often. 0 or the last errno.
int send_in_time(int socket, const ControlMessage& message, int most_tries) noexcept;

// What all connections make workers of.
struct WorkerMaker {
  Identity own_identity{};
  rlim_t open_files = RLIM_INFINITY;  // the program's limit; the server's own is as high as may be
  ForkedWorkers spare{};              // made ahead, so that nothing is begun that cannot be ended for want of memory

  // False for want of memory.
  bool refill_reserve() noexcept;
};

class ServerConnection {
 public:
  // With the descriptors of a connect record, of which there are three. `root` is the server's own root directory.
  void open(ControlRecord& record, int root) noexcept;

  [[nodiscard]] const UniqueFd& socket() const noexcept { return socket_; }
  [[nodiscard]] const UniqueFd& process() const noexcept { return process_; }
  [[nodiscard]] bool has_news() const noexcept { return !news_.empty(); }

  // All that has come. False when it is to be closed.
  bool handle_requests(WorkerMaker& maker) noexcept;
  // Says what there is to say, as far as there is room. False when nobody is there to hear it.
  bool flush() noexcept;

  [[nodiscard]] bool has_child(pid_t pid) noexcept { return find(pid).list != nullptr; }
  // A child has ended and is not reaped yet; and it is.
  void kill_rest_of(pid_t pid) noexcept { find(pid).worker->kill_all(); }
  void child_ended(pid_t pid, int wait_status, const rusage& used) noexcept;

  // Kills its workers. Those that are to be reaped go to the orphans.
  void end(ForkedWorkers& orphans) noexcept;

 private:
  struct Place {
    ForkedWorkers* list = nullptr;  // null: nowhere
    ForkedWorkers::iterator worker{};
  };

  void handle(WorkerMaker& maker, ControlRecord& record) noexcept;
  bool refuse_for_want_of_memory(WorkerMaker& maker) noexcept;
  void spawn(WorkerMaker& maker, ControlRecord& record) noexcept;
  void adopt(WorkerMaker& maker, ControlRecord& record) noexcept;
  [[nodiscard]] Place find(pid_t child) noexcept;

  UniqueFd socket_;
  UniqueFd process_;  // a pidfd of the one that made it
  UniqueFd root_;     // that one's root directory, if it is not the server's
  Identity identity_{};
  ForkedWorkers workers_;
  ForkedWorkers news_;  // those of which there is something to say, in this order
};

}  // namespace leasepool::detail
