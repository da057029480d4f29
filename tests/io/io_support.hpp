// What tests of I/O share: two connected streams, texts as bytes, and a loop that runs one task within a time.
#pragma once

#include <leasepool/leasepool.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "support/socket_pair.hpp"
#include "support/watchdog.hpp"

namespace leasepool::test {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct StreamPair {
  explicit StreamPair(Loop& loop) : StreamPair(loop, SocketPair()) {}
  StreamPair(Loop& loop, SocketPair sockets)
      : left(loop, std::move(sockets.ours)), right(loop, std::move(sockets.theirs)) {}
  Stream left;
  Stream right;
};

// Runs the body as the loop's task.
template <class Body>
void run(Loop& loop, Body body) {
  const Watchdog watchdog("a test of I/O");
  loop.block_on(body());
}

// What an await failed with: the code, and how much had been transferred.
struct Failure {
  std::error_code code{};
  std::string what{};
  std::size_t transferred = 0;
};

template <class A>
Task<Failure> failure_of(A awaitable) {
  Failure failure;
  try {
    (void)co_await awaitable;
  } catch (const LeasePoolError& error) {
    failure = {.code = error.code(), .what = error.what(), .transferred = error.transferred()};
  } catch (const IoError& error) {
    failure = {.code = error.code(), .what = error.what(), .transferred = error.transferred()};
  }
  co_return failure;
}
// The same of one whose result is void.
template <class A>
Task<Failure> void_failure_of(A awaitable) {
  Failure failure;
  try {
    co_await awaitable;
  } catch (const LeasePoolError& error) {
    failure = {.code = error.code(), .what = error.what(), .transferred = error.transferred()};
  } catch (const IoError& error) {
    failure = {.code = error.code(), .what = error.what(), .transferred = error.transferred()};
  }
  co_return failure;
}

}  // namespace leasepool::test
