// What a process does between its fork from the fork server and the worker's own main.
#pragma once

#include <sys/resource.h>

#include "shared/control_socket.hpp"
#include "shared/identity.hpp"

namespace leasepool::detail {

// With the descriptors of a spawn record. What cannot be set up the worker says instead of its hello. `open_files` is
// the limit of open files that it is to have.
[[noreturn]] void set_up_worker(ControlRecord& record, const WantedIdentity& identity, rlim_t open_files) noexcept;

}  // namespace leasepool::detail
