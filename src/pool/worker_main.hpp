// What a worker process runs.
#pragma once

#include "base/unique_fd.hpp"
#include "pool/worker_settings.hpp"

namespace leasepool::detail {

// Takes calls from the channel, one after the other, until it closes.
// Unless it could not enter its cgroup, which the error says: then it says so and ends.
[[noreturn]] void worker_main(UniqueFd channel, UniqueFd status_file, const WorkerSettings& settings,
                              int cgroup_error) noexcept;

}  // namespace leasepool::detail
