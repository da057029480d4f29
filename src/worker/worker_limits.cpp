// setrlimit(2), nice(2) and /proc/self/statm.
#include "worker/worker_limits.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

namespace {

// What a worker allocates before its first call, and some room.
constexpr std::uint64_t kLeastFreeMemory = std::uint64_t{8} << 20;

// The first two numbers of /proc/self/statm, in bytes: address space and resident memory.
struct MemoryUse {
  std::uint64_t address_space = 0;
  std::uint64_t resident = 0;
};

MemoryUse memory_use(const UniqueFd& file) noexcept {
  std::array<char, 128> text{};
  const ssize_t length = file ? ::pread(file.get(), text.data(), text.size(), 0) : 0;
  if (length <= 0) return {};
  MemoryUse pages;
  const char* const end = text.data() + length;
  const auto first = std::from_chars(text.data(), end, pages.address_space);
  if (first.ptr != end) (void)std::from_chars(first.ptr + 1, end, pages.resident);
  const auto page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return {.address_space = pages.address_space * page_size, .resident = pages.resident * page_size};
}

std::optional<std::string> set_limit(int resource, const char* option, const char* remedy, std::uint64_t value) {
  if (value == WorkerSettings::kNoLimit) return std::nullopt;
  const rlimit limit{.rlim_cur = value, .rlim_max = value};
  if (::setrlimit(resource, &limit) == 0) return std::nullopt;
  return std::string("could not set WorkerLimits::") + option + " = " + std::to_string(value) + ": " +
         std::strerror(errno) + remedy;
}

std::optional<std::string> set_memory_limit(std::uint64_t value, bool bounded_by_cgroup) {
  if (value == WorkerSettings::kNoLimit) return std::nullopt;
  const UniqueFd memory_use_file = open_memory_use();
  const int error = memory_use_file ? 0 : errno;
  const std::uint64_t used = memory_use(memory_use_file).address_space;
  std::optional<std::string> failure;
  if (used == 0) {
    failure = "could not set WorkerLimits::memory = " + std::to_string(value) +
              ": /proc/self/statm does not tell how much the program itself takes";
    if (error != 0) *failure += std::string(": ") + std::strerror(error);
  } else if (used + kLeastFreeMemory > value) {
    failure = "could not set WorkerLimits::memory = " + std::to_string(value) + ": the program itself takes " +
              std::to_string(used) +
              " bytes of address space, and a worker some more, and no cgroup bounds its memory "
              "instead (ManagerOptions::worker_cgroup)";
  } else {
    failure = set_limit(RLIMIT_AS, "memory", "", value);
  }
  return bounded_by_cgroup ? std::nullopt : failure;
}

// Tells whether it can be set for each call.
std::optional<std::string> set_cpu_limit(std::uint64_t seconds) {
  if (seconds == WorkerSettings::kNoLimit) return std::nullopt;
  const int error = limit_cpu_time(seconds);
  if (error == 0) return std::nullopt;
  return "could not set WorkerLimits::cpu_time = " + std::to_string(seconds) + " s: " + std::strerror(error);
}

std::optional<std::string> set_niceness(int added) {
  errno = 0;
  if (added == 0 || ::nice(added) != -1 || errno == 0) return std::nullopt;
  return "could not set WorkerLimits::niceness = " + std::to_string(added) + ": " + std::strerror(errno);
}

}  // namespace

std::optional<std::string> set_limits(const WorkerSettings& settings) {
  if (auto failure = set_niceness(settings.niceness)) return failure;
  if (auto failure = set_limit(RLIMIT_CORE, "core_size", " (raise ulimit -Hc)", settings.core_size)) return failure;
  if (auto failure = set_limit(RLIMIT_NOFILE, "open_files", " (raise ulimit -Hn)", settings.open_files)) return failure;
  if (auto failure = set_cpu_limit(settings.cpu_seconds_per_call)) return failure;
  return set_memory_limit(settings.memory, settings.memory_bounded != 0);
}

int limit_cpu_time(std::uint64_t seconds) noexcept {
  rusage used{};
  rlimit limit{};
  if (::getrusage(RUSAGE_SELF, &used) != 0 || ::getrlimit(RLIMIT_CPU, &limit) != 0) return errno;
  const auto whole_seconds = static_cast<std::uint64_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec);
  limit.rlim_cur = std::min<std::uint64_t>(whole_seconds + 1 + seconds, limit.rlim_max);
  return ::setrlimit(RLIMIT_CPU, &limit) == 0 ? 0 : errno;
}

UniqueFd open_memory_use() noexcept { return UniqueFd(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)); }

std::uint64_t resident_memory(const UniqueFd& memory_use_file) noexcept { return memory_use(memory_use_file).resident; }

}  // namespace leasepool::detail
