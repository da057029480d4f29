// A thread's stack, as the C library knows it.
#include "leasepool/detail/nesting.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace leasepool::detail {

namespace {

// What is decoded stands for as much memory, for a stack keeps what it once was: so half of the usual stack at most.
constexpr std::size_t kMaxRoom = std::size_t{4} << 20;

// On a stack that the C library does not know, as that of a fiber.
constexpr std::size_t kRoomOnUnknownStack = std::size_t{32} << 10;

struct Stack {
  std::uintptr_t lowest = 0;
  std::uintptr_t end = 0;
};

// Without /proc: the main thread's has what the limit says, less than the usual 8 MiB at most, and nothing above it.
Stack main_stack() noexcept {
  constexpr rlim_t kUsual = rlim_t{8} << 20;
  constexpr rlim_t kUsed = rlim_t{1} << 20;  // by those who have called, and by the program's arguments
  rlimit limit{};
  if (::getpid() != ::gettid() || ::getrlimit(RLIMIT_STACK, &limit) != 0) return {};
  const rlim_t size = std::min(limit.rlim_cur, kUsual);
  if (size <= kUsed) return {};
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return {.lowest = here - (size - kUsed), .end = UINTPTR_MAX};
}

Stack stack_of_this_thread() noexcept {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return main_stack();
  void* lowest = nullptr;
  std::size_t size = 0;
  const bool is_known = pthread_attr_getstack(&attributes, &lowest, &size) == 0;
  pthread_attr_destroy(&attributes);
  if (!is_known) return {};
  const auto address = reinterpret_cast<std::uintptr_t>(lowest);
  return {.lowest = address, .end = address + size};
}

}  // namespace

std::size_t room_for_nesting() noexcept {
  thread_local const Stack stack = stack_of_this_thread();
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (here <= stack.lowest || here >= stack.end) return kRoomOnUnknownStack;
  return std::min<std::size_t>((here - stack.lowest) / 4, kMaxRoom);
}

void throw_nested_too_deeply() {
  throw std::length_error(
      "values are nested too deeply: to go into them takes more than a quarter of the thread's stack");
}

}  // namespace leasepool::detail
