// Loaded in front of liburing (LD_PRELOAD): a kernel whose io_uring can do less. LEASEPOOL_MASKED_RING names what it
// cannot, by commas: the names are those of kMasks below.
#include <dlfcn.h>
#include <liburing.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "support/ring_entries.hpp"

namespace {

enum Mask : std::uint8_t {
  kDeferTaskrun = 1,      // as before Linux 6.1
  kCoopTaskrun = 2,       // as before 5.19
  kSubmitAll = 4,         // as before 5.18
  kMultishotAccept = 8,   // as before 5.19
  kMultishotPoll = 16,    // each ends with its first report, as the kernel may end it at any time
  kMoreThan8Entries = 32  // in either queue
};

constexpr struct {
  std::string_view name;
  Mask mask;
} kMasks[] = {
    {"defer-taskrun", kDeferTaskrun},   {"coop-taskrun", kCoopTaskrun},
    {"submit-all", kSubmitAll},         {"multishot-accept", kMultishotAccept},
    {"multishot-poll", kMultishotPoll}, {"more-than-8-entries", kMoreThan8Entries},
};

// A name that is none of them would mask nothing, and the test pass for that.
unsigned read_masks() {
  const char* const value = std::getenv("LEASEPOOL_MASKED_RING");
  std::string_view left = value == nullptr ? "" : value;
  unsigned masks = 0;
  while (!left.empty()) {
    const std::string_view name = left.substr(0, left.find(','));
    const auto* const known = std::ranges::find(kMasks, name, [](const auto& each) { return each.name; });
    if (known == std::end(kMasks)) std::abort();
    masks |= known->mask;
    left.remove_prefix(std::min(left.size(), name.size() + 1));
  }
  return masks;
}

bool is_masked(Mask mask) {
  static const unsigned masks = read_masks();
  return (masks & mask) != 0;
}

// What a kernel that does not know them answers with EINVAL.
unsigned unknown_set_up_flags() {
  unsigned flags = 0;
  if (is_masked(kDeferTaskrun)) flags |= IORING_SETUP_DEFER_TASKRUN;
  if (is_masked(kCoopTaskrun)) flags |= IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  if (is_masked(kSubmitAll)) flags |= IORING_SETUP_SUBMIT_ALL;
  return flags;
}

}  // namespace

void leasepool::test::before_submission(io_uring& /*ring*/, io_uring_sqe& operation) {
  constexpr std::uint16_t kKnownToNoKernel = 0x8000;
  const bool many = operation.opcode == IORING_OP_ACCEPT && (operation.ioprio & IORING_ACCEPT_MULTISHOT) != 0;
  if (many && is_masked(kMultishotAccept)) operation.ioprio |= kKnownToNoKernel;
  const bool polls = operation.opcode == IORING_OP_POLL_ADD && (operation.len & IORING_POLL_ADD_MULTI) != 0;
  if (polls && is_masked(kMultishotPoll)) operation.len &= ~unsigned{IORING_POLL_ADD_MULTI};
}

void leasepool::test::after_entry(io_uring& /*ring*/) {}

extern "C" {

int io_uring_queue_init_params(unsigned entries, io_uring* ring, io_uring_params* params) {
  static auto* const next =
      reinterpret_cast<decltype(&io_uring_queue_init_params)>(::dlsym(RTLD_NEXT, "io_uring_queue_init_params"));
  constexpr unsigned kFew = 8;
  if ((params->flags & unknown_set_up_flags()) != 0) return -EINVAL;
  if (is_masked(kMoreThan8Entries)) {
    entries = std::min(entries, kFew);
    params->cq_entries = std::min(params->cq_entries, kFew);
  }
  return next(entries, ring, params);
}

}  // extern "C"
