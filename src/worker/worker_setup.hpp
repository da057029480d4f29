// What a worker process sets on itself before its first word, its limits and its sandbox aside.
#pragma once

#include <optional>

#include "leasepool/error.hpp"
#include "shared/status_page.hpp"

namespace leasepool::detail {

// In the fork server, once: what is the same in all workers, which inherit it, so that a new one has less to do. The
// name of the call that is refused, null if none is. Of crashes in processes whose handlers are refused there are no
// stacks.
const char* prepare_for_workers();

// Returns what could not be set and why.
std::optional<Error> set_up_worker_process(WorkerStatus& status);

// Its two steps for whoever else sets something up in it: a descriptor in the place of another (0 or an errno), and the
// error of a step.
[[nodiscard]] int replace_descriptor(int fd, int in_place_of) noexcept;
[[nodiscard]] Error set_up_error(const char* what, int error) noexcept;

// False in a process that a function forked: that must not go on in the worker's place.
[[nodiscard]] bool is_the_worker() noexcept;

}  // namespace leasepool::detail
