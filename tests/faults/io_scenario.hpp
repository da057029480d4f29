// One use of all that the loop does with sockets, pipes, files and signals.
#pragma once

#include <leasepool/leasepool.hpp>

namespace faults {

// A step of the scenario: its name, and what it does.
using Attempt = leasepool::Task<> (*)(const char* step, leasepool::Task<> body);

leasepool::Task<> use_io(leasepool::Loop& loop, Attempt attempt);

}  // namespace faults
