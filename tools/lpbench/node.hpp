// `lpbench node`: its options.
#pragma once

#include <cstddef>

#include "run_options.hpp"

namespace lpbench {

struct NodeOptions : RunOptions {
  std::size_t pools = 1;
};

// Until SIGINT or SIGTERM. Throws where it cannot start.
void run_node(const NodeOptions& options);

}  // namespace lpbench
