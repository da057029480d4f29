// The limits of each option.
#include "lease/options_check.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "base/trace_file.hpp"
#include "lease/text.hpp"
#include "pool/pool.hpp"

namespace leasepool::detail {

namespace {

constexpr std::size_t kMaxWorkers = 1024;
constexpr Duration kMaxSpin = std::chrono::milliseconds(1);
constexpr std::size_t kMaxPools = 65'536;
constexpr std::size_t kMaxManagerName = 64;
constexpr std::string_view kOfNodes =
    "backend = process: the workers of a remote backend are the node's; set it in the options of the node";

void check_worker_limits(const WorkerLimits& limits) {
  if (limits.memory) check_range("WorkerLimits::memory", *limits.memory, 1, SIZE_MAX);
  if (limits.cpu_time) check_positive("WorkerLimits::cpu_time", *limits.cpu_time);
  if (limits.open_files) check_range("WorkerLimits::open_files", *limits.open_files, 16, SIZE_MAX);
  if (limits.niceness < 0 || limits.niceness > 19) {
    throw std::invalid_argument("leasepool: WorkerLimits::niceness = " + std::to_string(limits.niceness) +
                                " must be 0 to 19");
  }
}

// What only worker processes of this machine have: `field` is set, and `why` it must not be.
void refuse_process_options(const ManagerOptions& options, bool is_remote) {
  constexpr auto kLimits = "a thread has no limits of its own";
  constexpr auto kReplaced = "a thread is not replaced";
  for (const auto& [field, given, why] : {
           std::tuple("worker_limits", options.worker_limits != WorkerLimits{}, kLimits),
           std::tuple("worker_cgroup", !options.worker_cgroup.empty(), kLimits),
           std::tuple("max_calls_per_worker", options.max_calls_per_worker != 0, kReplaced),
           std::tuple("worker_reuse", options.worker_reuse != WorkerReuse::always, kReplaced),
           std::tuple("spare_workers", options.spare_workers.has_value(), kReplaced),
           std::tuple("max_worker_age", options.max_worker_age != Duration::max(), kReplaced),
           std::tuple("max_worker_rss", options.max_worker_rss != 0, kReplaced),
       }) {
    if (!given) continue;
    throw std::invalid_argument("leasepool: ManagerOptions::" + std::string(field) + " is set, which needs " +
                                (is_remote ? std::string(kOfNodes) : "backend = process: " + std::string(why)));
  }
  if (options.sandbox.profile() == Sandbox::Profile::none) return;
  throw std::invalid_argument(
      "leasepool: ManagerOptions::sandbox = Sandbox::" + std::string(name_of(options.sandbox.profile())) + "() needs " +
      (is_remote ? std::string(kOfNodes) : "backend = process: a thread cannot be shut in"));
}

void check_trace_options(const TraceOptions& options) {
  check_range("TraceOptions::max_bytes", options.max_bytes, TraceFile::kLeastBytes, SIZE_MAX / 2);
  if (options.path.find('\0') == std::string::npos) return;
  throw std::invalid_argument("leasepool: TraceOptions::path = " + in_quotes(options.path) +
                              " must not contain a zero byte, where the name of a file ends");
}

// Of a manager whose pools are on nodes.
void check_remote_manager(const ManagerOptions& options) {
  check_remote_options(options.remote);
  refuse_process_options(options, true);
  if (!options.initializer) return;
  throw std::invalid_argument("leasepool: ManagerOptions::initializer is set, which needs " + std::string(kOfNodes));
}

}  // namespace

void check_range(std::string_view field, std::size_t value, std::size_t least, std::size_t most) {
  if (value >= least && value <= most) return;
  throw std::invalid_argument("leasepool: " + std::string(field) + " = " + std::to_string(value) +
                              " must be at least " + std::to_string(least) +
                              (most == SIZE_MAX ? "" : " and at most " + std::to_string(most)));
}

void check_not_negative(std::string_view field, Duration value) {
  if (value >= Duration::zero()) return;
  throw std::invalid_argument("leasepool: " + std::string(field) + " = " + in_words(value) +
                              " must not be negative (it may be zero)");
}

// It goes into messages, logs, the names of threads and the labels of metrics.
void check_name(std::string_view field, std::string_view name) {
  std::size_t at = 0;
  while (at < name.size()) {
    const std::size_t length = printable_length(name.substr(at, 4));
    if (length == 0) break;
    at += length;
  }
  if (at == name.size() && !name.empty() && name.size() <= kMaxManagerName) return;
  throw std::invalid_argument("leasepool: " + std::string(field) + " = " + in_quotes(name) + " must be 1 to " +
                              std::to_string(kMaxManagerName) + " bytes of UTF-8 without control characters");
}

void check_positive(std::string_view field, Duration value) {
  if (value > Duration::zero()) return;
  throw std::invalid_argument("leasepool: " + std::string(field) + " = " + in_words(value) +
                              " must be positive (Duration::max() means never)");
}

void check_callback(std::string_view verb, bool given) {
  if (!given)
    throw std::invalid_argument("leasepool: " + std::string(verb) + "() needs a callback, and this one is empty");
}

void check_manager_options(const ManagerOptions& options) {
  check_range("ManagerOptions::max_pools", options.max_pools, 1, kMaxPools);
  const bool is_remote = options.backend == ExecutorBackend::remote;
  check_range("ManagerOptions::min_pools", options.min_pools, is_remote ? 0 : 1, SIZE_MAX);
  if (options.min_pools > options.max_pools) {
    throw std::invalid_argument("leasepool: ManagerOptions::min_pools = " + std::to_string(options.min_pools) +
                                " must not be greater than max_pools = " + std::to_string(options.max_pools));
  }
  check_range("ManagerOptions::workers_per_pool", options.workers_per_pool, 1, kMaxWorkers);
  check_range("ManagerOptions::units_per_pool", options.units_per_pool, 1, SIZE_MAX);
  check_positive("ManagerOptions::check_interval", options.check_interval);
  check_positive("ManagerOptions::default_lease_duration", options.default_lease_duration);
  check_not_negative("ManagerOptions::lease_grace", options.lease_grace);
  check_name("ManagerOptions::name_prefix", options.name_prefix);
  check_not_negative("ManagerOptions::stop_timeout", options.stop_timeout);
  check_positive("ManagerOptions::worker_start_timeout", options.worker_start_timeout);
  check_range("ManagerOptions::max_payload", options.max_payload, 1, SIZE_MAX / 4);
  if (options.max_decoded_bytes)
    check_range("ManagerOptions::max_decoded_bytes", *options.max_decoded_bytes, 1, SIZE_MAX);
  check_trace_options(options.trace);
  check_positive("ManagerOptions::decode_timeout", options.decode_timeout);
  check_positive("ManagerOptions::max_worker_age", options.max_worker_age);
  check_worker_limits(options.worker_limits);
  check_not_negative("ManagerOptions::spin", options.spin);
  if (options.spin > kMaxSpin) {
    throw std::invalid_argument("leasepool: ManagerOptions::spin = " + in_words(options.spin) + " must be at most " +
                                in_words(kMaxSpin) + ": it burns a processor");
  }
  if (options.backend != ExecutorBackend::thread && options.backend != ExecutorBackend::process && !is_remote) {
    throw std::invalid_argument(
        "leasepool: ManagerOptions::backend = " + std::to_string(static_cast<int>(options.backend)) +
        " must be thread, process or remote");
  }
  if (options.worker_reuse != WorkerReuse::always && options.worker_reuse != WorkerReuse::lease &&
      options.worker_reuse != WorkerReuse::call) {
    throw std::invalid_argument(
        "leasepool: ManagerOptions::worker_reuse = " + std::to_string(static_cast<int>(options.worker_reuse)) +
        " must be always, lease or call");
  }
  if (options.spare_workers) check_range("ManagerOptions::spare_workers", *options.spare_workers, 0, kMaxWorkers);
  if (is_remote) {
    check_remote_options(options.remote);
    check_remote_manager(options);
    return;
  }
  if (options.remote != RemoteOptions{}) {
    throw std::invalid_argument("leasepool: ManagerOptions::remote is set, which needs backend = remote");
  }
  if (options.backend == ExecutorBackend::thread) refuse_process_options(options, false);
}

std::size_t spare_workers(const ManagerOptions& options) noexcept {
  return options.spare_workers.value_or(options.worker_reuse == WorkerReuse::always ? 0 : options.workers_per_pool);
}

// Few results take more than eight times as much memory as encoded: numbers take as much, texts up to four times, maps
// of numbers seven times. Small payloads may.
std::size_t most_decoded(const ManagerOptions& options) noexcept {
  constexpr std::size_t kTimes = 8;
  constexpr std::size_t kAlways = std::size_t{64} << 20;
  if (options.max_decoded_bytes) return *options.max_decoded_bytes;
  return options.max_payload > SIZE_MAX / kTimes ? SIZE_MAX : std::max(kAlways, kTimes * options.max_payload);
}

bool shared_memory_by_default() noexcept {
  static const bool off = [] {
    const char* const value = std::getenv("LEASEPOOL_SHARED_MEMORY");
    return value != nullptr && std::string_view(value) == "0";
  }();
  return !off;
}

void check_acquire_options(const AcquireOptions& options) {
  if (options.lease_duration) check_positive("AcquireOptions::lease_duration", *options.lease_duration);
  if (options.timeout) check_positive("AcquireOptions::timeout", *options.timeout);
}

void check_call_options(const CallOptions& options) {
  if (options.timeout) check_positive("CallOptions::timeout", *options.timeout);
  if (options.queue_timeout) check_positive("CallOptions::queue_timeout", *options.queue_timeout);
}

}  // namespace leasepool::detail
