// How much the tests have to do: as much as fits into the normal run, or many times as much where LEASEPOOL_LONG is
// set.
#pragma once

#include <cstdlib>
#include <string_view>

namespace leasepool::test {

inline bool long_run() {
  const char* const value = std::getenv("LEASEPOOL_LONG");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  return value != nullptr && *value != '\0' && std::string_view(value) != "0";
}

}  // namespace leasepool::test
