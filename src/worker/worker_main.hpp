// What a worker process runs.
#pragma once

#include <optional>

#include "base/unique_fd.hpp"
#include "leasepool/error.hpp"
#include "shared/worker_settings.hpp"
#include "worker/process_title.hpp"

namespace leasepool::detail {

// In the fork server, once: what its workers inherit, so that a new one has less to do.
void prepare_worker_main() noexcept;

// Takes calls from the channel, one after the other, until it closes.
// Where its set-up failed, it says so instead, and ends.
[[noreturn]] void worker_main(UniqueFd channel, UniqueFd status_file, const WorkerSettings& settings,
                              const WorkerTitle& title, std::optional<Error> failure) noexcept;

}  // namespace leasepool::detail
