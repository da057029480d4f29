// WakeSet: one descriptor that becomes readable when the loop has something to do, for whoever sleeps in its place.
#pragma once

#include "base/unique_fd.hpp"
#include "loop/engine.hpp"

namespace leasepool::detail {

// The ring's own descriptor will not do: a ring with DEFER_TASKRUN wakes nobody who sleeps on it (seen with poll() and
// epoll_wait() on Linux 6.18). It does write to an eventfd that is registered with it, except, on some kernels, when
// the completion was caused by a write to another eventfd; so the doorbell is watched by itself. An engine on epoll has
// a set of its own, which is watched in this one. One thread, but for what makes fd() readable.
class WakeSet {
 public:
  // Throws std::system_error when there are no descriptors left.
  WakeSet(Engine& engine, int doorbell_fd);

  [[nodiscard]] int fd() const noexcept { return epoll_.get(); }

  // Makes fd() readable until clear().
  void signal() noexcept;

  // Forgets what has come; what comes from now on makes fd() readable again.
  void clear() noexcept;

 private:
  void watch(int fd);

  UniqueFd completions_;
  UniqueFd epoll_;  // all are watched for edges, so that none is ever read
};

}  // namespace leasepool::detail
