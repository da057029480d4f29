// landlock_create_ruleset(2), landlock_add_rule(2), landlock_restrict_self(2). The C library wraps none of them, and
// the system's header may be older than the kernel.
#include "sandbox/landlock.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

namespace {

// linux/landlock.h. What a kernel does not know of must be zero.
struct RulesetAttributes {
  std::uint64_t files;
  std::uint64_t network;  // from version 4 on
  std::uint64_t scopes;   // from version 6 on
};
struct [[gnu::packed]] PathRule {
  std::uint64_t allowed;
  std::int32_t directory;
};
constexpr unsigned kVersionFlag = 1;
constexpr int kPathRule = 1;

constexpr std::uint64_t kWriteFile = 1U << 1;
constexpr std::uint64_t kReadFile = 1U << 2;
constexpr std::uint64_t kReadDirectory = 1U << 3;
constexpr std::uint64_t kRemoveDirectory = 1U << 4;
constexpr std::uint64_t kRemoveFile = 1U << 5;
constexpr std::uint64_t kMakeDirectory = 1U << 7;
constexpr std::uint64_t kMakeFile = 1U << 8;
constexpr std::uint64_t kMakeSymlink = 1U << 12;
constexpr std::uint64_t kRenameAcross = 1U << 13;  // REFER, from version 2 on
constexpr std::uint64_t kTruncate = 1U << 14;      // from version 3 on

constexpr std::uint64_t kRead = kReadFile | kReadDirectory;
constexpr std::uint64_t kWrite =
    kWriteFile | kRemoveDirectory | kRemoveFile | kMakeDirectory | kMakeFile | kMakeSymlink | kRenameAcross | kTruncate;
constexpr std::uint64_t kOfAFile = kReadFile | kWriteFile | kTruncate;  // the others are about what a directory holds

// All that the version can refuse: ever more of it.
RulesetAttributes everything(int abi) noexcept {
  const int files = 13 + (abi >= 2 ? 1 : 0) + (abi >= 3 ? 1 : 0) + (abi >= 5 ? 1 : 0);
  return {.files = (std::uint64_t{1} << files) - 1, .network = abi >= 4 ? 3U : 0U, .scopes = abi >= 6 ? 3U : 0U};
}

std::string failed(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

std::optional<std::string> allow(int ruleset, const std::string& path, std::uint64_t rights, const char* list) {
  const std::string named = std::string("the ") + list + " path \"" + path + "\" of Sandbox::files()";
  const UniqueFd file(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) return failed(named.c_str());
  if (!S_ISDIR(status.st_mode)) rights &= kOfAFile;
  const PathRule rule{.allowed = rights, .directory = file.get()};
  if (::syscall(SYS_landlock_add_rule, ruleset, kPathRule, &rule, 0) == 0) return std::nullopt;
  return failed(("landlock_add_rule for " + named).c_str());
}

}  // namespace

int landlock_abi() noexcept {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kVersionFlag);
  return abi < 0 ? 0 : static_cast<int>(abi);
}

std::optional<std::string> enter_landlock(int abi, const std::vector<std::string>& readable,
                                          const std::vector<std::string>& writable) {
  const RulesetAttributes handled = everything(abi);
  const UniqueFd ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0)));
  if (!ruleset) return failed("landlock_create_ruleset");
  for (const std::string& path : readable) {
    if (auto failure = allow(ruleset.get(), path, kRead & handled.files, "read")) return failure;
  }
  for (const std::string& path : writable) {
    if (auto failure = allow(ruleset.get(), path, kWrite & handled.files, "write")) return failure;
  }
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0) return std::nullopt;
  return failed("landlock_restrict_self");
}

}  // namespace leasepool::detail
