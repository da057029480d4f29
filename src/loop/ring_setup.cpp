// How a ring is set up, and how it ends.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/unique_fd.hpp"
#include "loop/ring.hpp"

namespace leasepool::detail {

namespace {

[[noreturn]] void throw_refused(const char* call, int error) {
  const std::string reason = std::string(call) + ": " + std::strerror(error);
  switch (error) {
    case EPERM:
    case EACCES:
      throw RingRefused("io_uring is refused (" + reason +
                            "): either a seccomp profile forbids it, as container runtimes' default ones do (allow "
                            "io_uring_setup, io_uring_enter and io_uring_register in the profile), or the sysctl "
                            "kernel.io_uring_disabled is set (set it to 0, or to 1 with the process in "
                            "kernel.io_uring_group)",
                        error);
    case ENOSYS:
      throw RingRefused("io_uring is missing (" + reason +
                            "): either a seccomp profile hides it, as Podman's default one does (allow io_uring_setup, "
                            "io_uring_enter and io_uring_register in the profile), or a sandbox such as gVisor does "
                            "not offer it, or the kernel was built without it or is older than Linux 5.15, which "
                            "leasepool needs",
                        error);
    case ENOMEM:
      throw RingRefused("io_uring got no memory (" + reason + "): raise the limit of locked memory (ulimit -l)", error);
    case EMFILE:
    case ENFILE:
      throw RingRefused("io_uring got no descriptor (" + reason + "): raise the limit of open files (ulimit -n)",
                        error);
    default: throw RingRefused("io_uring cannot be set up: " + reason, error);
  }
}

// 0 or an errno.
int move_above_standard_streams(io_uring& ring) noexcept {
  if (ring.ring_fd > STDERR_FILENO) return 0;
  UniqueFd moved = duplicate_above_standard_streams(ring.ring_fd);
  if (!moved) return errno;
  ::close(ring.ring_fd);
  ring.ring_fd = ring.enter_ring_fd = moved.release();
  return 0;
}

}  // namespace

Ring::Ring(Limits limits) {
  // Each rung is peeled off when the kernel does not know it.
  constexpr unsigned kLadder[] = {
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      0,
  };
  int error = EINVAL;
  unsigned completions = 0;
  for (const unsigned rung : kLadder) {
    for (const unsigned always : {unsigned{IORING_SETUP_SUBMIT_ALL}, 0U}) {  // SUBMIT_ALL came with 5.18
      io_uring_params params{};
      params.flags = rung | always | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
      params.cq_entries = limits.completions;
      error = -io_uring_queue_init_params(std::max(limits.submissions, kPair), &ring_, &params);
      completions = params.cq_entries;
      if (error != EINVAL) break;
    }
    if (error != EINVAL) break;
  }
  if (error != 0) throw_refused("io_uring_setup", error);
  struct Guard {
    io_uring* ring;
    ~Guard() {
      if (ring != nullptr) io_uring_queue_exit(ring);
    }
  } guard{&ring_};
  error = move_above_standard_streams(ring_);
  if (error != 0) throw_refused("fcntl(F_DUPFD_CLOEXEC)", error);
  // A profile may allow the set-up and refuse what follows: better told here than in the middle of the work.
  error = -io_uring_submit_and_get_events(&ring_);
  if (error > 0 && !passes(error)) throw_refused("io_uring_enter", error);
  error = io_uring_ring_dontfork(&ring_);
  if (error != 0) throw_refused("madvise(MADV_DONTFORK)", -error);
  reaped_.reserve(2 * std::size_t{completions});
  guard.ring = nullptr;
}

Ring::~Ring() {
  check(in_flight() == 0, "no operation is in flight when its ring is destroyed");
  exit();
}

void Ring::exit() noexcept {
  if (!std::exchange(exited_, true)) io_uring_queue_exit(&ring_);
}

void Ring::give_up() noexcept {
  if (slots_ && in_flight() != 0) end_all(ECANCELED);
  ended_.reset();
}

// From here on it takes no operation and enters the kernel no more.
void Ring::end_all(int error) noexcept {
  ended_by_ = error;
  ended_ = std::move(slots_);
  if (!exit_and_wait()) (void)ended_.release();  // NOLINT(bugprone-unused-return-value): leaked
  reaped_.clear();
  handled_ = 0;
  first_waiting_ = kNone;
  requests_waiting_ = 0;
}

// The last that the kernel lets go of are a ring's registered files: when the other end of such a pipe hears of it, no
// operation uses memory any more. False if it was not heard of.
bool Ring::exit_and_wait() noexcept {
  constexpr int kMaxTries = 100;
  constexpr int kMillisecondsPerTry = 10;
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  const UniqueFd heard_at(ends[0]);
  UniqueFd registered(ends[1]);
  if (io_uring_register_files(&ring_, &ends[1], 1) != 0) return false;
  registered.reset();
  exit();
  for (int tries = 0; tries < kMaxTries; ++tries) {
    pollfd heard{.fd = heard_at.get(), .events = 0, .revents = 0};
    if (::poll(&heard, 1, kMillisecondsPerTry) > 0) return (heard.revents & POLLHUP) != 0;
  }
  return false;
}

}  // namespace leasepool::detail
