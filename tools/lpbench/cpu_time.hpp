// CPU time of this process and of the worker processes below it.
#pragma once

#include <sys/types.h>
#include <leasepool/duration.hpp>

#include <map>

namespace lpbench {

// The sum is exact, its two parts are the kernel's estimate.
struct CpuTime {
  leasepool::Duration user{};
  leasepool::Duration system{};

  [[nodiscard]] leasepool::Duration total() const { return user + system; }
};

// Of this process, all its threads included.
CpuTime own_cpu_time();

// Of every process that descends from this one: the fork server and its workers, which are not ours to wait for, so
// that getrusage() does not count them.
using CpuTimes = std::map<pid_t, CpuTime>;
CpuTimes cpu_time_of_descendants();

CpuTime used(const CpuTime& before, const CpuTime& after);

// A process that is new counts whole, one that has ended counts nothing.
CpuTime used(const CpuTimes& before, const CpuTimes& after);

}  // namespace lpbench
