// What is about to be submitted is counted, and changed first.
#include "submissions.hpp"

#include <cstdint>

#include "support/ring_entries.hpp"

namespace leasepool::test {

Submissions& submissions() {
  static Submissions submissions;
  return submissions;
}

void before_submission(io_uring& /*ring*/, io_uring_sqe& operation) {
  ++submissions().all;
  const Cut cut = submissions().cut;
  if (operation.opcode == IORING_OP_LINK_TIMEOUT) ++submissions().link_timeouts;
  if (cut == Cut::links) operation.flags &= static_cast<std::uint8_t>(~IOSQE_IO_LINK);
  if (cut == Cut::timeouts_are_refused && operation.opcode == IORING_OP_LINK_TIMEOUT) operation.len = 7;  // has to be 1
  if (cut == Cut::polls_are_refused && operation.opcode == IORING_OP_POLL_ADD) operation.fd = -1;
}

void after_entry(io_uring& /*ring*/) {}

}  // namespace leasepool::test
