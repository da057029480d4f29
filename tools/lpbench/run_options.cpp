// What every measured run has in common before it begins.
#include "run_options.hpp"

#include <sys/utsname.h>

#include <array>
#include <ctime>
#include <fstream>

namespace lpbench {

namespace {

// Empty where the kernel does not say.
std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return {};
}

std::string kernel_name() {
  utsname name{};
  return uname(&name) == 0 ? std::string(name.sysname) + ' ' + name.release : std::string();
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return {text.data(), length};
}

}  // namespace

const char* backend_name(leasepool::ExecutorBackend backend) {
  switch (backend) {
    case leasepool::ExecutorBackend::process: return "process";
    case leasepool::ExecutorBackend::remote: return "remote";
    case leasepool::ExecutorBackend::thread: break;
  }
  return "thread";
}

RunRecord begin_record(std::string command, const RunOptions& options) {
  RunRecord record{.command = std::move(command), .label = options.label};
  record.version = LPBENCH_VERSION;
  record.started = utc_now();
  record.cores = core_count();
  record.processor = processor_name();
  record.kernel = kernel_name();
  record.settings = {{"backend", backend_name(options.backend)}, {"workers", std::uint64_t{options.workers}}};
  return record;
}

leasepool::ManagerOptions manager_options(const RunOptions& options) {
  leasepool::ManagerOptions manager;
  manager.backend = options.backend;
  if (options.backend == leasepool::ExecutorBackend::remote) manager.remote = options.remote;
  manager.workers_per_pool = options.workers;
  manager.name_prefix = "lpbench";
  manager.max_payload = kMaxPayload + 64;  // the payload, its length and the microseconds
  return manager;
}

std::optional<leasepool::TimeSpan> acquire_timeout(const RunOptions& options) {
  if (options.backend != leasepool::ExecutorBackend::remote) return std::nullopt;
  return kNodePatience;
}

}  // namespace lpbench
