// A library of functions, which lpnode loads and callers link with.
#include "functions.hpp"

#include <leasepool/function.hpp>

namespace jobs {

std::uint64_t count_primes(std::uint64_t limit) {
  std::uint64_t count = 0;
  for (std::uint64_t number = 2; number < limit; ++number) {
    bool prime = true;
    for (std::uint64_t divisor = 2; divisor * divisor <= number && prime; ++divisor) prime = number % divisor != 0;
    count += prime ? 1 : 0;
  }
  return count;
}

std::string thumbnail_name(const std::string& picture, std::uint32_t width) {
  return picture + "-" + std::to_string(width);
}

}  // namespace jobs

LEASEPOOL_REGISTER(jobs::count_primes);
LEASEPOOL_REGISTER(jobs::thumbnail_name);
