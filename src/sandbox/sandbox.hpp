// Entering a sandbox, in the worker: rlimits, Landlock and the filter of system calls, in this order, because the last
// forbids setting the others.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "leasepool/error.hpp"
#include "leasepool/sandbox.hpp"
#include "shared/status_page.hpp"
#include "shared/worker_settings.hpp"

namespace leasepool::detail {

struct SandboxPaths {
  std::vector<std::string> readable;
  std::vector<std::string> writable;
};

// "Sandbox::compute()".
std::string sandbox_name(Sandbox::Profile profile);

// For good. Notes what is in force in `status`, and later there, for which system call the worker dies. Returns why it
// cannot be entered: `unsupported` where the system lacks a part of it.
std::optional<Error> enter_sandbox(const WorkerSettings& settings, const SandboxPaths& paths, WorkerStatus& status);

}  // namespace leasepool::detail
