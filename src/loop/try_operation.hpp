// What an operation does where no ring does it: one attempt that does not block, and the whole of it on a thread that
// may. No descriptor's flags change, but a socket's while it begins to connect.
#pragma once

#include <cstdint>

#include "loop/engine.hpp"

namespace leasepool::detail {

struct Attempt {
  enum class Next : std::uint8_t {
    done,   // with the result
    wait,   // until its descriptor is ready, then try again
    retry,  // after a while: nothing tells when
    block,  // only a thread that may wait can do it
  };
  Next next = Next::done;
  int result = 0;  // of what is done: >= 0, or -errno
};

[[nodiscard]] inline bool is_poll(const Operation& operation) noexcept {
  return operation.kind == Operation::Kind::poll || operation.kind == Operation::Kind::poll_multishot;
}

// Whether it takes something of its descriptor's, so that those that want the same do it one after the other.
[[nodiscard]] inline bool takes_turns(const Operation& operation) noexcept {
  return !is_poll(operation) && operation.kind != Operation::Kind::open && operation.kind != Operation::Kind::sync;
}

// The events (as poll() and epoll name them) that an operation waits for.
[[nodiscard]] std::uint32_t readiness_of(const Operation& operation) noexcept;

// `told_ready`: it waited, and epoll has said that its descriptor is ready. Not for multishot polls.
[[nodiscard]] Attempt try_operation(const Operation& operation, bool told_ready) noexcept;

// Of a descriptor that epoll cannot watch: which of the events it has now; 0: none of them, or -errno.
[[nodiscard]] int poll_now(int fd, int events) noexcept;

// Of what may block: read, write, open and sync. Gives the result, >= 0 or -errno.
[[nodiscard]] int run_blocking(const Operation& operation) noexcept;

}  // namespace leasepool::detail
