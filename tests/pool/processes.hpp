// Looking at other processes, and waiting for their end.
#pragma once

#include <poll.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "support/process_state.hpp"

namespace leasepool::test {

inline std::string process_name(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

inline std::vector<pid_t> all_processes() {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") == std::string::npos) found.push_back(std::stoi(name));
  }
  std::ranges::sort(found);
  return found;
}

// A handle on a process that stays true when its number is used again.
class ProcessHandle {
 public:
  explicit ProcessHandle(pid_t process)
      : pid_(process), pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, process, 0))) {}

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool dead() const { return wait(std::chrono::milliseconds(0)); }
  // Until it is dead (a zombie is), or the limit has passed.
  [[nodiscard]] bool wait(std::chrono::milliseconds limit) const {
    if (!pidfd_) return true;
    pollfd end{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&end, 1, static_cast<int>(limit.count())) == 1;
  }
  void kill(int signal) const {
    if (pidfd_) ::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0);
  }

 private:
  pid_t pid_;
  leasepool::detail::UniqueFd pidfd_;
};

// How long it takes until all are dead; nothing when that takes longer than the limit.
inline std::optional<std::chrono::nanoseconds> time_until_dead(const std::vector<ProcessHandle>& processes,
                                                               std::chrono::milliseconds limit) {
  const auto start = std::chrono::steady_clock::now();
  for (const ProcessHandle& process : processes) {
    const auto left = limit - (std::chrono::steady_clock::now() - start);
    if (!process.wait(std::max(std::chrono::duration_cast<std::chrono::milliseconds>(left), {}))) return std::nullopt;
  }
  return std::chrono::steady_clock::now() - start;
}

}  // namespace leasepool::test
