// The processes below one, as /proc has them.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace faults {

struct Process {
  pid_t id = 0;
  pid_t parent = 0;
  std::string name;  // empty: it is gone
  bool is_zombie = false;
};

[[nodiscard]] Process process_of(pid_t id);
[[nodiscard]] std::vector<Process> descendants_of(pid_t ancestor);

}  // namespace faults
