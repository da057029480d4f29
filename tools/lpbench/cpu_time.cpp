// CPU time through the clocks of processes (clock_getcpuclockid(3)); descendants, and what of it was system time,
// through /proc.
#include "cpu_time.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace lpbench {

namespace {

using leasepool::Duration;

Duration duration_of(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

pid_t to_pid(std::string_view text) {
  pid_t pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  return pid;
}

struct ProcessStat {
  pid_t parent = 0;
  Duration system{};
};

// Fields 4 and 15 of /proc/PID/stat; the second is a name in parentheses that may hold anything. Zeros if it is gone.
ProcessStat stat_of(const std::filesystem::path& process) {
  std::ifstream file(process / "stat");
  std::string text;
  std::getline(file, text);
  ProcessStat stat;
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return stat;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  std::int64_t ticks = 0;
  fields >> skipped >> stat.parent;
  for (int field = 5; field <= 14; ++field) fields >> skipped;
  fields >> ticks;
  static const std::int64_t ticks_per_second = sysconf(_SC_CLK_TCK);
  stat.system = std::chrono::nanoseconds(std::chrono::seconds(ticks)) / std::max<std::int64_t>(ticks_per_second, 1);
  return stat;
}

// /proc counts in hundredths of a second, which is too coarse for the sum.
CpuTime cpu_time_of(pid_t process, Duration system) {
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &time) != 0) return {};
  const Duration total = std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec);
  system = std::min(system, total);
  return {.user = total - system, .system = system};
}

}  // namespace

CpuTime own_cpu_time() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {.user = duration_of(usage.ru_utime), .system = duration_of(usage.ru_stime)};
}

CpuTimes cpu_time_of_descendants() {
  std::multimap<pid_t, pid_t> children;
  std::map<pid_t, Duration> system;
  std::error_code ignored;  // without /proc there are none to be seen
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const pid_t pid = to_pid(entry.path().filename().string());
    if (pid <= 0) continue;
    const ProcessStat stat = stat_of(entry.path());
    children.emplace(stat.parent, pid);
    system[pid] = stat.system;
  }
  CpuTimes times;
  std::vector<pid_t> found = {getpid()};
  for (std::size_t index = 0; index < found.size(); ++index) {
    const auto [first, last] = children.equal_range(found[index]);
    for (auto child = first; child != last; ++child) {
      found.push_back(child->second);
      times[child->second] = cpu_time_of(child->second, system[child->second]);
    }
  }
  return times;
}

CpuTime used(const CpuTime& before, const CpuTime& after) {
  const Duration total = std::max(after.total() - before.total(), Duration::zero());
  const Duration system = std::clamp(after.system - before.system, Duration::zero(), total);
  return {.user = total - system, .system = system};
}

CpuTime used(const CpuTimes& before, const CpuTimes& after) {
  CpuTime sum;
  for (const auto& [process, time] : after) {
    const auto found = before.find(process);
    const CpuTime more = used(found == before.end() ? CpuTime() : found->second, time);
    sum.user += more.user;
    sum.system += more.system;
  }
  return sum;
}

}  // namespace lpbench
