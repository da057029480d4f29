// WorkerCgroup: a cgroup (v2) of one worker process, in a directory that was delegated to the program. What a function
// starts stays in it, whatever else it leaves, and dies with the worker. See the kernel's admin-guide/cgroup-v2.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

// Opens the directory, has the cgroups below it bound memory if they can, and removes what programs that are gone have
// left there. Throws LeasePoolError (unsupported) saying what is wrong with it.
std::shared_ptr<const UniqueFd> open_delegated_cgroup(const std::string& path);

// Removes the cgroups below it that have the names of workers and belong to no program that lives. Those with a process
// in them stay.
void remove_leftover_cgroups(int delegated) noexcept;

// One thread.
class WorkerCgroup {
 public:
  // Makes it below `delegated`. A memory limit holds for all processes in it together, without swap, where the memory
  // controller was delegated too: see bounds_memory(). Throws std::system_error.
  WorkerCgroup(std::shared_ptr<const UniqueFd> delegated, std::uint64_t worker_id, std::uint64_t memory);
  WorkerCgroup(const WorkerCgroup&) = delete;
  WorkerCgroup& operator=(const WorkerCgroup&) = delete;
  ~WorkerCgroup() { (void)remove(); }  // of a worker that was never made, or a loop that ended before the next try

  // For the process that is to enter it, and for the fork server that is to kill it. Empty where no descriptor is left.
  [[nodiscard]] UniqueFd share() const noexcept;

  // Whether its limit of memory is in force.
  [[nodiscard]] bool bounds_memory() const noexcept { return bounds_memory_; }
  // Whether all that is in it can be killed at once; else what is in the worker's process group is.
  [[nodiscard]] bool kills_all() const noexcept;
  // Whether the kernel has killed a process in it for want of memory.
  [[nodiscard]] bool ran_out_of_memory() const noexcept;

  // False while a process that was killed is still on its way out.
  [[nodiscard]] bool remove() const noexcept;

 private:
  const std::shared_ptr<const UniqueFd> delegated_;
  std::string name_;
  UniqueFd directory_;
  bool bounds_memory_ = false;
};

// The calling process enters the cgroup. 0 or an errno.
int enter_cgroup(int directory) noexcept;

// Kills all processes in it.
void kill_cgroup(int directory) noexcept;

}  // namespace leasepool::detail
