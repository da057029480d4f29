// Operations on the ring that fail. One that is to fail goes to the kernel as one that does nothing, so that neither
// bytes nor descriptors are lost, and its completion gets the error.
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

#include "shared.hpp"
#include "support/ring_entries.hpp"

namespace {

using faults::RingOperation;

std::optional<RingOperation> operation_of(const io_uring_sqe& sqe) {
  switch (sqe.opcode) {
    case IORING_OP_RECV: return RingOperation::recv;
    case IORING_OP_SEND: return RingOperation::send;
    case IORING_OP_RECVMSG: return RingOperation::recvmsg;
    case IORING_OP_SENDMSG: return RingOperation::sendmsg;
    case IORING_OP_POLL_ADD: return RingOperation::poll;
    case IORING_OP_TIMEOUT: return RingOperation::timeout;
    case IORING_OP_READ: return RingOperation::read;
    case IORING_OP_WRITE: return RingOperation::write;
    case IORING_OP_ACCEPT: return RingOperation::accept;
    case IORING_OP_CONNECT: return RingOperation::connect;
    case IORING_OP_OPENAT: return RingOperation::open;
    case IORING_OP_FSYNC: return RingOperation::sync;
    default: return {};
  }
}

// Submitted in the stead of one that is to fail, and not completed yet. The scenario's loop has one thread.
struct InTheStead {
  io_uring* ring;
  std::uint64_t user_data;
};
std::array<InTheStead, 64> in_the_stead;
std::size_t in_the_stead_count = 0;

bool is_refused(faults::Shared& shared, RingOperation operation) {
  const auto kind = static_cast<std::size_t>(operation);
  if (!shared.armed[0]) return false;
  const long seen = ++shared.operations[kind];
  const long failing = shared.failing_operation[kind];
  return (failing == 0 || failing == seen) && in_the_stead_count < in_the_stead.size();
}

}  // namespace

void leasepool::test::before_submission(io_uring& ring, io_uring_sqe& operation) {
  faults::Shared* const shared = faults::shared();
  if (shared == nullptr) return;
  const std::optional<RingOperation> kind = operation_of(operation);
  if (!kind || !is_refused(*shared, *kind)) return;
  ++shared->injected;
  const std::uint64_t user_data = operation.user_data;
  in_the_stead[in_the_stead_count++] = {.ring = &ring, .user_data = user_data};
  std::memset(&operation, 0, sizeof operation);
  operation.opcode = IORING_OP_NOP;
  operation.user_data = user_data;
}

void leasepool::test::after_entry(io_uring& ring) {
  if (in_the_stead_count == 0) return;
  unsigned head = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring, head, cqe) {
    for (std::size_t at = 0; at < in_the_stead_count; ++at) {
      if (in_the_stead[at].ring != &ring || in_the_stead[at].user_data != cqe->user_data) continue;
      cqe->res = -faults::shared()->operation_error;
      in_the_stead[at] = in_the_stead[--in_the_stead_count];
      break;
    }
  }
}
