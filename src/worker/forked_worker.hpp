// ForkedWorker: a worker as the fork server knows it, from the request to fork it until the report of its end. It has
// room for all that there is to say of it, so that saying it takes no memory.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <list>

#include "base/unique_fd.hpp"
#include "shared/control_socket.hpp"
#include "shared/pidfd.hpp"
#include "shared/worker_cgroup.hpp"

namespace leasepool::detail {

struct ForkedWorker {
  std::uint64_t worker_id = 0;
  pid_t pid = 0;             // 0: there is none
  UniqueFd pidfd;            // until it is sent; of an adopted one, for good
  UniqueFd cgroup;           // if it has one
  bool is_adopted = false;   // an earlier server forked it
  bool is_answered = false;  // its request
  bool is_ended = false;     // and reaped
  bool end_is_told = false;
  ControlMessage end{};  // of one that ended or never was

  // Whether it is to be reaped here.
  [[nodiscard]] bool is_ours() const noexcept { return pid != 0 && !is_adopted && !is_ended; }
  [[nodiscard]] bool has_news() const noexcept { return !is_answered || (is_ended && !end_is_told); }
  // Whether there will be nothing more to say of it.
  [[nodiscard]] bool is_over() const noexcept { return is_answered && (pid == 0 || end_is_told); }

  void failed(const char* call, int error) noexcept {
    end = {.type = ControlType::spawn_failed, .error = error, .worker_id = worker_id};
    end.set_name(call);
  }

  void ended(int wait_status, const rusage& used) noexcept;

  // Sends the next of its news. 0 or an errno, and then it is still to be said.
  int tell(int socket) noexcept;

  // It, and what it left in its group or its cgroup.
  void kill_all() const noexcept;
};

using ForkedWorkers = std::list<ForkedWorker>;

}  // namespace leasepool::detail
