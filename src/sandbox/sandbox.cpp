// The profiles put together, from the parts that the system has.
#include "sandbox/sandbox.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "base/sanitizers.hpp"
#include "sandbox/blocked_call.hpp"
#include "sandbox/landlock.hpp"
#include "sandbox/system_call_filter.hpp"

namespace leasepool {

namespace {

std::vector<std::string> absolute(const std::vector<std::string>& paths) {
  std::vector<std::string> absolute;
  for (const std::string& path : paths) {
    if (path.empty() || path.find('\0') != std::string::npos) {
      throw std::invalid_argument("leasepool: Sandbox::files() got a path that " +
                                  std::string(path.empty() ? "is empty" : "has a zero byte in it") +
                                  "; name a file or a directory");
    }
    absolute.push_back(std::filesystem::absolute(path).string());
  }
  return absolute;
}

}  // namespace

Sandbox Sandbox::files(const std::vector<std::string>& read, const std::vector<std::string>& write,
                       Enforcement enforcement) {
  Sandbox sandbox(Profile::files, enforcement);
  sandbox.readable_ = absolute(read);
  sandbox.writable_ = absolute(write);
  return sandbox;
}

std::string_view name_of(Sandbox::Profile profile) noexcept {
  switch (profile) {
    case Sandbox::Profile::none: return "none";
    case Sandbox::Profile::compute: return "compute";
    case Sandbox::Profile::files: return "files";
  }
  return "unknown";
}

namespace detail {

namespace {

std::optional<std::string> gain_no_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) return std::nullopt;
  return std::string("prctl(PR_SET_NO_NEW_PRIVS): ") + std::strerror(errno);
}

// What the filter refuses, once more, for all but root; and no core file, unless one was asked for.
std::optional<std::string> limit_resources(bool core_file) {
  const rlimit nothing{.rlim_cur = 0, .rlim_max = 0};
  for (const auto resource : {RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_RTPRIO, RLIMIT_CORE}) {
    if (resource == RLIMIT_CORE && core_file) continue;
    if (::setrlimit(resource, &nothing) != 0) return std::string("setrlimit: ") + std::strerror(errno);
  }
  return std::nullopt;
}

// Landlock reaches the calling thread alone: one that an initializer or a fork handler has started would escape it.
std::optional<std::string> other_threads() {
  struct stat tasks{};
  if (::stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink <= 2 + 1 + kRuntimeThreads) return std::nullopt;
  return "the worker has " + std::to_string(tasks.st_nlink - 2) +
         " threads already; start none in fork handlers and initializers of a sandboxed worker";
}

// Nothing where it is there.
std::optional<std::string> missing_landlock(int abi) {
  if (abi > 0) return std::nullopt;
  return errno == EOPNOTSUPP
             ? "Landlock is missing: it is switched off in this kernel (name landlock in the boot parameter lsm=)"
             : std::string("Landlock is missing: this kernel was built without it, or a filter around this program "
                           "forbids it (landlock_create_ruleset: ") +
                   std::strerror(errno) + ")";
}

}  // namespace

std::string sandbox_name(Sandbox::Profile profile) {
  return "Sandbox::" + std::string(name_of(profile)) + (profile == Sandbox::Profile::none ? "" : "()");
}

std::optional<Error> enter_sandbox(const WorkerSettings& settings, const SandboxPaths& paths, WorkerStatus& status) {
  const auto failed = [&](Errc code, const std::string& why) {
    return Error(code, "cannot enter " + sandbox_name(settings.sandbox) + ": " + why);
  };
  if (const auto failure = gain_no_privileges()) return failed(Errc::pool_broken, *failure);
  if (settings.sandbox == Sandbox::Profile::none) return std::nullopt;

  if (const auto threads = other_threads()) return failed(Errc::pool_broken, *threads);
  const int abi = landlock_abi();
  const auto no_landlock = missing_landlock(abi);
  const auto no_filter = missing_for_filter();
  if ((no_landlock || no_filter) && settings.best_effort == 0) {
    const std::string both = no_landlock && no_filter ? "; " + *no_filter : "";
    return failed(Errc::unsupported, (no_landlock ? *no_landlock : *no_filter) + both +
                                         "; Sandbox::best_effort goes without what is missing");
  }
  if (const auto failure = limit_resources(settings.core_size != WorkerSettings::kNoLimit)) {
    return failed(Errc::pool_broken, *failure);
  }
  // Its file cannot be read later: the zone is loaded here, and not looked for again where TZ stays the same.
  if (settings.sandbox == Sandbox::Profile::compute) (void)::setenv("TZ", ":/etc/localtime", 0);
  ::tzset();
  if (!no_landlock) {
    if (const auto failure = enter_landlock(abi, paths.readable, paths.writable)) {
      return failed(Errc::pool_broken, *failure);
    }
    status.landlock_abi.store(static_cast<std::uint32_t>(abi));
  }
  if (!no_filter) {
    if (!note_blocked_calls(status.blocked_call)) {
      return failed(Errc::pool_broken, std::string("sigaction(SIGSYS): ") + std::strerror(errno));
    }
    const auto failure = enter_filter({.profile = settings.sandbox,
                                       .renews_cpu_limit = settings.cpu_seconds_per_call != WorkerSettings::kNoLimit,
                                       .landlock_guards_truncate = abi == 0 || abi >= 3});
    if (failure) return failed(Errc::pool_broken, *failure);
    status.seccomp.store(1);
  }
  return std::nullopt;
}

}  // namespace detail

}  // namespace leasepool
