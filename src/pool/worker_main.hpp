// What a worker process runs.
#pragma once

#include <cstdint>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

// Takes calls from the channel, one after the other, until it closes.
[[noreturn]] void worker_main(UniqueFd channel, UniqueFd status_page, std::uint64_t max_payload) noexcept;

}  // namespace leasepool::detail
