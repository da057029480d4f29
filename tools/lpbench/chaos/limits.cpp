// Soft limits, and who is above them.
#include "limits.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace lpbench::chaos {

LoweredLimit::LoweredLimit(pid_t process, __rlimit_resource kind, rlim_t soft) : process_(process), kind_(kind) {
  if (::prlimit(process, kind, nullptr, &before_) != 0) return;
  const rlimit lower{.rlim_cur = std::min(soft, before_.rlim_cur), .rlim_max = before_.rlim_max};
  lowered_ = ::prlimit(process, kind, &lower, nullptr) == 0;
}

LoweredLimit::~LoweredLimit() {
  if (lowered_) ::prlimit(process_, kind_, &before_, nullptr);
}

// New descriptors get the lowest numbers that are free, and the limit is one of numbers.
rlim_t descriptors_for(std::size_t more) {
  const int lowest = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
  if (lowest < 0) return 0;
  ::close(lowest);
  return static_cast<rlim_t>(lowest) + more;
}

std::string why_processes_are_unlimited() {
  if (::getuid() == 0) return "RLIMIT_NPROC does not bind root";
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    constexpr std::size_t kName = std::string_view("CapEff:").size();
    constexpr unsigned long long kAdmin = 1ULL << 21U;     // CAP_SYS_ADMIN
    constexpr unsigned long long kResource = 1ULL << 24U;  // CAP_SYS_RESOURCE
    if (!line.starts_with("CapEff:") || (std::stoull(line.substr(kName), nullptr, 16) & (kAdmin | kResource)) == 0) {
      continue;
    }
    return "RLIMIT_NPROC does not bind who has CAP_SYS_ADMIN or CAP_SYS_RESOURCE";
  }
  return {};
}

}  // namespace lpbench::chaos
