// A number from the environment, for tests that can do more or less of the same.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace leasepool::test {

inline std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace leasepool::test
