// Sandbox: what the functions of a manager's worker processes may do to the rest of the system.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "leasepool/detail/export.hpp"

namespace leasepool {

/// One of three profiles, in force in each worker from before its first call until it ends. docs/sandbox.md says what
/// each blocks, docs/isolation.md what that is worth and what it costs. Any thread.
class LEASEPOOL_EXPORT Sandbox {
 public:
  enum class Profile : std::uint32_t { none, compute, files };

  /// What to do where the kernel, or this build of the library, lacks a part of a profile: let start() fail with
  /// Errc::unsupported, or go without that part; stats() then says which are active.
  enum Enforcement { strict, best_effort };

  /// Only what every worker has: inherited descriptors closed, a process group of its own, no new privileges by exec,
  /// death with the program.
  static const Sandbox none;

  /// No files, no network, no processes or threads, no signals to others: memory, time, and what the call was given.
  [[nodiscard]] static Sandbox compute(Enforcement enforcement = strict) { return {Profile::compute, enforcement}; }

  /// compute(), and files: those named, and all below those directories, may be read (`read`), or written, made,
  /// renamed and removed (`write`); name a path in both where a function does both. Each must exist when a worker
  /// starts. Relative ones are resolved now. Throws std::invalid_argument for a path that is empty or has a zero byte.
  [[nodiscard]] static Sandbox files(const std::vector<std::string>& read, const std::vector<std::string>& write,
                                     Enforcement enforcement = strict);

  Sandbox() noexcept = default;  ///< none

  [[nodiscard]] Profile profile() const noexcept { return profile_; }
  [[nodiscard]] bool is_best_effort() const noexcept { return enforcement_ == best_effort; }
  /// Absolute.
  [[nodiscard]] const std::vector<std::string>& readable() const noexcept { return readable_; }
  [[nodiscard]] const std::vector<std::string>& writable() const noexcept { return writable_; }

 private:
  Sandbox(Profile profile, Enforcement enforcement) noexcept : profile_(profile), enforcement_(enforcement) {}

  Profile profile_ = Profile::none;
  Enforcement enforcement_ = strict;
  std::vector<std::string> readable_;
  std::vector<std::string> writable_;
};

#ifdef _GLIBCXX_DEBUG  // its containers have no constant initializers
inline const Sandbox Sandbox::none{};
#else
inline constinit const Sandbox Sandbox::none{};
#endif

/// "none", "compute" or "files".
[[nodiscard]] LEASEPOOL_EXPORT std::string_view name_of(Sandbox::Profile profile) noexcept;

/// What of a profile is in force.
struct SandboxStats {
  Sandbox::Profile profile = Sandbox::Profile::none;
  bool seccomp = false;  ///< the filter of system calls
  int landlock_abi = 0;  ///< the kernel's version of Landlock, which guards files; 0: not in force
  bool complete = true;  ///< nothing is missing: always, unless Sandbox::best_effort was asked for
};

}  // namespace leasepool

#endif
