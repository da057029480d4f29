// CPU time, user and system, of a program and all processes below it.
#pragma once

#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace peers {

// Looks for the processes once, when constructed: by then a peer's workers run, and none comes later.
class TreeCpuTime {
 public:
  TreeCpuTime() {
    std::multimap<pid_t, pid_t> children;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const pid_t process = to_pid(entry.path().filename().string());
      if (process > 0) children.emplace(parent_of(entry.path()), process);
    }
    for (std::size_t index = 0; index < processes_.size(); ++index) {
      const auto [first, last] = children.equal_range(processes_[index]);
      for (auto child = first; child != last; ++child) processes_.push_back(child->second);
    }
  }

  [[nodiscard]] std::chrono::nanoseconds read() const {
    std::chrono::nanoseconds sum{};
    for (const pid_t process : processes_) {
      clockid_t clock{};
      timespec time{};
      if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &time) != 0) continue;
      sum += std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    }
    return sum;
  }

 private:
  static pid_t to_pid(std::string_view text) {
    pid_t process = 0;
    std::from_chars(text.data(), text.data() + text.size(), process);
    return process;
  }

  // The fourth field of /proc/PID/stat; the second is a name in parentheses that may hold anything.
  static pid_t parent_of(const std::filesystem::path& process) {
    std::ifstream file(process / "stat");
    std::string stat;
    std::getline(file, stat);
    const std::size_t name_end = stat.rfind(')');
    constexpr std::size_t kStateLength = 4;  // ") S "
    if (name_end == std::string::npos || stat.size() <= name_end + kStateLength) return 0;
    return to_pid(std::string_view(stat).substr(name_end + kStateLength));
  }

  std::vector<pid_t> processes_ = {getpid()};
};

}  // namespace peers
