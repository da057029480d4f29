// CPU time through the clocks of processes (clock_getcpuclockid(3)), and descendants through /proc.
#include "cpu_time.hpp"

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
#include <system_error>

namespace lpbench {

namespace {

leasepool::Duration read_clock(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return leasepool::Duration::zero();
  return std::chrono::seconds(time.tv_sec) + leasepool::Duration(time.tv_nsec);
}

pid_t to_pid(std::string_view text) {
  pid_t pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  return pid;
}

// The fourth field of /proc/PID/stat; the second is a name in parentheses that may hold anything. 0 if it is gone.
pid_t parent_of(const std::filesystem::path& process) {
  std::ifstream file(process / "stat");
  std::string stat;
  std::getline(file, stat);
  const std::size_t name_end = stat.rfind(')');
  constexpr std::size_t kStateLength = 4;  // ") S "
  if (name_end == std::string::npos || stat.size() <= name_end + kStateLength) return 0;
  return to_pid(std::string_view(stat).substr(name_end + kStateLength));
}

}  // namespace

leasepool::Duration own_cpu_time() { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

std::vector<pid_t> descendants() {
  std::multimap<pid_t, pid_t> children;
  std::error_code ignored;  // without /proc there are none to be seen
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const pid_t pid = to_pid(entry.path().filename().string());
    if (pid > 0) children.emplace(parent_of(entry.path()), pid);
  }
  std::vector<pid_t> found = {getpid()};
  for (std::size_t index = 0; index < found.size(); ++index) {
    const auto [first, last] = children.equal_range(found[index]);
    for (auto child = first; child != last; ++child) found.push_back(child->second);
  }
  found.erase(found.begin());
  return found;
}

leasepool::Duration cpu_time_of(const std::vector<pid_t>& processes) {
  leasepool::Duration sum = leasepool::Duration::zero();
  for (const pid_t process : processes) {
    clockid_t clock{};
    if (clock_getcpuclockid(process, &clock) == 0) sum += read_clock(clock);
  }
  return sum;
}

}  // namespace lpbench
