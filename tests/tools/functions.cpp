// A library of functions, as lpnode loads it.
#include <unistd.h>
#include <leasepool/function.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>

namespace lpnode_functions {

std::uint64_t square(std::uint64_t value) { return value * value; }

std::uint64_t sleeps(std::uint64_t milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}

std::uint64_t prints(std::uint64_t value) {
  std::printf("a line of %d\n", static_cast<int>(value));
  std::fflush(stdout);
  return value;
}

std::uint64_t pid(std::uint64_t) { return static_cast<std::uint64_t>(::getpid()); }

}  // namespace lpnode_functions

LEASEPOOL_REGISTER(lpnode_functions::square);
LEASEPOOL_REGISTER(lpnode_functions::sleeps);
LEASEPOOL_REGISTER(lpnode_functions::prints);
LEASEPOOL_REGISTER(lpnode_functions::pid);
