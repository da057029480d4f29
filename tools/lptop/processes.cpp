// /proc/PID/stat and statm, as proc(5) describes them.
#include "processes.hpp"

#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace lptop {

std::optional<ProcessUse> Processes::use_of(int pid) {
  const std::string directory = "/proc/" + std::to_string(pid);
  std::ifstream file(directory + "/stat");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  double ticks = 0;
  for (int number = 3; number <= 15 && fields >> field; ++number) {
    if (number >= 14) ticks += std::stod(field);  // utime and stime
  }
  const double seconds = ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
  std::uint64_t size = 0;
  ProcessUse use;
  std::ifstream(directory + "/statm") >> size >> use.resident;
  use.resident *= static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const auto now = Clock::now();
  if (const auto before = seen_.find(pid); before != seen_.end()) {
    const double passed = std::chrono::duration<double>(now - before->second.when).count();
    if (passed > 0) use.cpu_percent = 100 * (seconds - before->second.cpu_seconds) / passed;
  }
  seen_[pid] = {.cpu_seconds = seconds, .when = now};
  return use;
}

void Processes::end_round() {
  std::erase_if(seen_, [](const auto& seen) { return !seen.second.asked_for; });
  for (auto& [pid, seen] : seen_) seen.asked_for = false;
}

}  // namespace lptop
