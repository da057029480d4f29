// The processes below this one, and what they are; and a process that is signalled without mistaking another for it.
#pragma once

#include <sys/types.h>

#include <vector>

namespace lpbench::chaos {

enum class Role { worker, fork_server, reserve, starting, other };

struct Relative {
  pid_t pid = 0;
  pid_t parent = 0;
  Role role = Role::other;
};

// All descendants that live, in ascending order; empty where /proc cannot be read now. Of what the library starts the
// role is known where the system lets it name its processes, else it is `other`.
std::vector<Relative> descendants();

// Forgets children that have ended: those of fork servers and nodes that were killed come to this process.
void reap_children();

// A pidfd; empty where there is no descriptor left for one, or no such process.
class ProcessRef {
 public:
  explicit ProcessRef(pid_t pid);
  ProcessRef(ProcessRef&& other) noexcept;
  ProcessRef& operator=(ProcessRef&& other) noexcept;
  ~ProcessRef();

  // Whether it was there to get it.
  bool signal(int number) const;
  [[nodiscard]] bool is_dead() const;

 private:
  int fd_;
};

}  // namespace lpbench::chaos
