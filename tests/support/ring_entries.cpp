// The functions of liburing that enter the kernel.
#include "ring_entries.hpp"

#include <dlfcn.h>

namespace {

void before(io_uring* ring) {
  for (unsigned at = ring->sq.sqe_head; at != ring->sq.sqe_tail; ++at) {
    leasepool::test::before_submission(*ring, ring->sq.sqes[at & ring->sq.ring_mask]);
  }
}

int after(io_uring* ring, int result) {
  leasepool::test::after_entry(*ring);
  return result;
}

template <class Function>
Function* real(Function* /*type*/, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int io_uring_submit(io_uring* ring) {
  static auto* const next = real(&io_uring_submit, "io_uring_submit");
  before(ring);
  return after(ring, next(ring));
}

int io_uring_submit_and_wait(io_uring* ring, unsigned wait_for) {
  static auto* const next = real(&io_uring_submit_and_wait, "io_uring_submit_and_wait");
  before(ring);
  return after(ring, next(ring, wait_for));
}

int io_uring_submit_and_get_events(io_uring* ring) {
  static auto* const next = real(&io_uring_submit_and_get_events, "io_uring_submit_and_get_events");
  before(ring);
  return after(ring, next(ring));
}

int io_uring_get_events(io_uring* ring) {
  static auto* const next = real(&io_uring_get_events, "io_uring_get_events");
  return after(ring, next(ring));
}

}  // extern "C"
