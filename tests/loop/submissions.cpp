// The functions of liburing that enter the kernel, with what is about to be submitted looked at and changed first.
#include "submissions.hpp"

#include <dlfcn.h>
#include <liburing.h>

#include <cstdint>

namespace {

using leasepool::test::Cut;
using leasepool::test::submissions;

template <class Function>
Function* real(Function* /*type*/, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

void before(io_uring* ring) {
  for (unsigned at = ring->sq.sqe_head; at != ring->sq.sqe_tail; ++at) {
    io_uring_sqe& sqe = ring->sq.sqes[at & ring->sq.ring_mask];
    ++submissions().all;
    const Cut cut = submissions().cut;
    if (sqe.opcode == IORING_OP_LINK_TIMEOUT) ++submissions().link_timeouts;
    if (cut == Cut::links) sqe.flags &= static_cast<std::uint8_t>(~IOSQE_IO_LINK);
    if (cut == Cut::timeouts_are_refused && sqe.opcode == IORING_OP_LINK_TIMEOUT) sqe.len = 7;  // has to be 1
    if (cut == Cut::polls_are_refused && sqe.opcode == IORING_OP_POLL_ADD) sqe.fd = -1;
  }
}

}  // namespace

leasepool::test::Submissions& leasepool::test::submissions() {
  static Submissions submissions;
  return submissions;
}

extern "C" {

int io_uring_submit_and_wait(io_uring* ring, unsigned wait_for) {
  static auto* const next = real(&io_uring_submit_and_wait, "io_uring_submit_and_wait");
  before(ring);
  return next(ring, wait_for);
}

int io_uring_submit_and_get_events(io_uring* ring) {
  static auto* const next = real(&io_uring_submit_and_get_events, "io_uring_submit_and_get_events");
  before(ring);
  return next(ring);
}

}  // extern "C"
