// CPU time of this process and of the worker processes below it.
#pragma once

#include <sys/types.h>
#include <leasepool/duration.hpp>

#include <vector>

namespace lpbench {

// User and system time of this process, all its threads included.
leasepool::Duration own_cpu_time();

// Every process that descends from this one: the fork server and its workers, which are not ours to wait for, so that
// getrusage() does not count them.
std::vector<pid_t> descendants();

// User and system time of all of them. One that has ended counts nothing.
leasepool::Duration cpu_time_of(const std::vector<pid_t>& processes);

}  // namespace lpbench
