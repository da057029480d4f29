// Turns of a ring by itself, for tests that have no loop.
#pragma once

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

}  // namespace leasepool::test
