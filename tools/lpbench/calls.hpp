// `lpbench calls`: its options and its measurement.
#pragma once

#include <cstddef>

#include "record.hpp"
#include "run_options.hpp"

namespace lpbench {

struct CallsOptions : RunOptions {
  std::size_t depth = 0;  // 0: four times the workers
};

// The latency is that of the calls that succeeded: from the submission to the callback.
RunRecord run_calls(CallsOptions options);

}  // namespace lpbench
