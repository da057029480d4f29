// Turns of a ring by itself, for tests that have no loop.
#pragma once

#include <vector>

#include "loop/ring.hpp"

namespace leasepool::test {

inline void turn(detail::Ring& ring) {
  ring.submit_and_wait();
  ring.run_handlers();
}

// Until nothing is in flight.
inline void finish(detail::Ring& ring) {
  while (ring.in_flight() != 0) turn(ring);
}

// Keeps the completions of one operation.
struct Record {
  auto handler() {
    return [this](detail::Completion completion) { all.push_back(completion); };
  }
  std::vector<detail::Completion> all;
};

}  // namespace leasepool::test
