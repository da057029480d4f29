// The floor of clean workers: what this machine makes of fresh worker processes when the least is done that their
// contract asks for, by hand, with nothing of the library but its owners of descriptors.
#pragma once

#include <leasepool/histogram.hpp>

#include <cstddef>
#include <cstdint>

namespace figures {

struct Rate {
  double per_second = 0;
  leasepool::Histogram times{};
};

// Calls, one after the other, each on a process that ends with it. A server, which has nothing of the program's, forks
// them: so many stand ready. Each has a socket, shared memory and two pipes of its own, and no other descriptor; it
// says that it is ready, runs one call, and is killed. The caller hears of its end, and how it ended. The program has
// one thread.
Rate bare_workers(std::size_t ready, std::size_t count, std::int64_t (*function)(std::int64_t));

}  // namespace figures
