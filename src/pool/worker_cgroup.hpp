// WorkerCgroup: a cgroup (v2) of one worker process, in a directory that was delegated to the program. What a function
// starts stays in it, whatever else it leaves, and dies with the worker. See the kernel's admin-guide/cgroup-v2.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

// Opens the directory. Throws LeasePoolError (unsupported) saying what is wrong with it.
std::shared_ptr<const UniqueFd> open_delegated_cgroup(const std::string& path);

// One thread.
class WorkerCgroup {
 public:
  // Makes it below `delegated`. A memory limit holds for all processes in it together, where the
  // memory controller was delegated too. Throws std::system_error.
  WorkerCgroup(std::shared_ptr<const UniqueFd> delegated, std::uint64_t worker_id, std::uint64_t memory);
  WorkerCgroup(const WorkerCgroup&) = delete;
  WorkerCgroup& operator=(const WorkerCgroup&) = delete;
  ~WorkerCgroup() { (void)remove(); }  // of a worker that was never made, or a loop that ended before the next try

  // For the process that is to enter it, and for the fork server that is to kill it. Empty where no descriptor is left.
  [[nodiscard]] UniqueFd share() const noexcept;

  // False while a process that was killed is still on its way out.
  [[nodiscard]] bool remove() const noexcept;

 private:
  const std::shared_ptr<const UniqueFd> delegated_;
  std::string name_;
  UniqueFd directory_;
};

// The calling process enters the cgroup. 0 or an errno.
int enter_cgroup(int directory) noexcept;

// Kills all processes in it.
void kill_cgroup(int directory) noexcept;

}  // namespace leasepool::detail
