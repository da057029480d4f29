// Turns of an engine by itself, for tests that have no loop.
#pragma once

#include <vector>

#include "loop/engine.hpp"

namespace leasepool::test {

inline void turn(detail::Engine& engine) {
  engine.submit_and_wait();
  engine.run_handlers();
}

// Until nothing is in flight.
inline void finish(detail::Engine& engine) {
  while (engine.in_flight() != 0) turn(engine);
}

// Keeps the completions of one operation.
struct Record {
  auto handler() {
    return [this](detail::Completion completion) { all.push_back(completion); };
  }
  std::vector<detail::Completion> all;
};

}  // namespace leasepool::test
