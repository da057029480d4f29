// Soft limits of processes that the hand lowers for a while.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstddef>
#include <string>

namespace lpbench::chaos {

// Of one process, 0 being this one; as before when it is destroyed.
class LoweredLimit {
 public:
  LoweredLimit(pid_t process, __rlimit_resource kind, rlim_t soft);
  LoweredLimit(const LoweredLimit&) = delete;
  LoweredLimit& operator=(const LoweredLimit&) = delete;
  ~LoweredLimit();

 private:
  pid_t process_;
  __rlimit_resource kind_;
  bool lowered_ = false;
  rlimit before_{};
};

// A limit of open files with which so many more can be opened; 0: there is no room even now.
rlim_t descriptors_for(std::size_t more);

// Why RLIMIT_NPROC does not bind this process; empty where it does.
std::string why_processes_are_unlimited();

}  // namespace lpbench::chaos
