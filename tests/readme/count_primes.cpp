// The function that the quickstart declares and leaves to the reader: the number of primes below limit.
#include <cstdint>

std::uint64_t count_primes(std::uint64_t limit);

std::uint64_t count_primes(std::uint64_t limit) {
  std::uint64_t count = 0;
  for (std::uint64_t number = 2; number < limit; ++number) {
    std::uint64_t divisor = 2;
    while (divisor * divisor <= number && number % divisor != 0) ++divisor;
    if (divisor * divisor > number) ++count;
  }
  return count;
}
