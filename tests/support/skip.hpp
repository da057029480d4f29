// WithWhat that the machine, or this build, cannot run a test: by name, and so that it is counted as skipped. What
// reads the output counts these lines, see tools/lib/build.sh.
#pragma once

#include <cstdio>
#include <string>

#include "catch.hpp"

namespace leasepool::test {

// In a TEST_CASE, which then returns; or which goes on, when it was a part of it, named by `part`, that cannot run.
inline void skip(const std::string& reason, const std::string& part = {}) {
  const std::string name = Catch::getResultCapture().getCurrentTestName() + (part.empty() ? "" : ", " + part);
  std::printf("skipped: %s: %s\n", name.c_str(), reason.c_str());
  std::fflush(stdout);
}

}  // namespace leasepool::test
