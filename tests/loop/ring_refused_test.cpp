// Tests of a system that refuses io_uring: one clear error that names the causes, and nothing left behind. Each runs in
// a child process, behind a seccomp filter or a limit.
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include "base/check.hpp"
#include "catch.hpp"
#include "leasepool/error.hpp"
#include "leasepool/loop.hpp"
#include "loop/ring.hpp"
#include "support/child.hpp"
#include "support/process_state.hpp"
#include "support/refuse.hpp"
#include "support/sanitized.hpp"
#include "support/skip.hpp"

using leasepool::Errc;
using leasepool::LeasePoolError;
using leasepool::Loop;
using leasepool::detail::check;
using leasepool::detail::Ring;
using leasepool::test::ChildEnd;
using leasepool::test::open_descriptors;
using leasepool::test::refuse;
using leasepool::test::run_in_child;

namespace {

struct LoopOnRing : Loop {
  LoopOnRing() : Loop({.engine = leasepool::LoopEngine::io_uring}) {}
};

// Constructs a T, which must fail with `unsupported`, and prints the message.
template <class T>
void expect_refusal() {
  const auto before = open_descriptors();
  try {
    const T refused;
  } catch (const LeasePoolError& error) {
    check(error.code() == Errc::unsupported, "the code is unsupported");
    check(open_descriptors() == before, "nothing stays open");
    const std::string_view text = error.what();
    (void)!::write(STDERR_FILENO, text.data(), text.size());
    return;
  }
  check(false, "io_uring is refused");
}

template <class T>
ChildEnd refused_with(int error, long call = SYS_io_uring_setup) {
  return run_in_child([error, call] {
    refuse(call, error);
    expect_refusal<T>();
  });
}

// Leaves room for `count` more descriptors.
void allow_descriptors(std::size_t count) {
  const int next = ::dup(STDERR_FILENO);
  ::close(next);
  const auto limit = static_cast<rlim_t>(next) + count;
  const rlimit limits{.rlim_cur = limit, .rlim_max = limit};
  check(::setrlimit(RLIMIT_NOFILE, &limits) == 0, "the limit of open files can be lowered");
}

}  // namespace

TEST_CASE("io_uring refused with EPERM names seccomp profiles, the sysctl and what to change", "[ring][refused]") {
  const auto end = GENERATE(true, false) ? refused_with<Ring>(EPERM) : refused_with<LoopOnRing>(EPERM);
  CHECK(end.exited_with(0));
  CHECK_THAT(end.output, ContainsSubstring("io_uring is refused"));
  CHECK_THAT(end.output, ContainsSubstring("seccomp profile"));
  CHECK_THAT(end.output, ContainsSubstring("io_uring_setup"));
  CHECK_THAT(end.output, ContainsSubstring("kernel.io_uring_disabled"));
}

TEST_CASE("a profile that allows only the set-up of io_uring is found out by the constructor", "[ring][refused]") {
  const auto end = GENERATE(true, false) ? refused_with<Ring>(EPERM, SYS_io_uring_enter)
                                         : refused_with<LoopOnRing>(EPERM, SYS_io_uring_enter);
  CHECK(end.exited_with(0));
  CHECK_THAT(end.output, ContainsSubstring("io_uring is refused (io_uring_enter: "));
}

TEST_CASE("io_uring missing with ENOSYS names profiles, sandboxes and the kernel needed", "[ring][refused]") {
  const auto end = GENERATE(true, false) ? refused_with<Ring>(ENOSYS) : refused_with<LoopOnRing>(ENOSYS);
  CHECK(end.exited_with(0));
  CHECK_THAT(end.output, ContainsSubstring("io_uring is missing"));
  CHECK_THAT(end.output, ContainsSubstring("5.15"));
  CHECK_THAT(end.output, ContainsSubstring("a seccomp profile hides it"));
  CHECK_THAT(end.output, ContainsSubstring("sandbox"));
}

TEST_CASE("io_uring without locked memory names the limit", "[ring][refused]") {
  const auto end = refused_with<LoopOnRing>(ENOMEM);
  CHECK(end.exited_with(0));
  CHECK_THAT(end.output, ContainsSubstring("ulimit -l"));
}

TEST_CASE("a kernel that knows none of the set-up flags is an error, not an endless search", "[ring][refused]") {
  const auto end = refused_with<LoopOnRing>(EINVAL);
  CHECK(end.exited_with(0));
  CHECK_THAT(end.output, ContainsSubstring("io_uring cannot be set up"));
}

TEST_CASE("a loop without descriptors left names the limit", "[ring][refused]") {
  const auto end = run_in_child([] {
    allow_descriptors(0);
    try {
      const LoopOnRing refused;
    } catch (const LeasePoolError& error) {
      check(error.code() == Errc::unsupported, "the code is unsupported");
      const std::string_view text = error.what();
      (void)!::write(STDERR_FILENO, text.data(), text.size());
    }
  });
  CHECK(end.exited_with(0));
  CHECK_THAT(end.output, ContainsSubstring("ulimit -n"));
}

TEST_CASE("a loop whose doorbell finds no descriptor fails and gives the ring's back", "[ring][refused]") {
  if (leasepool::test::kSanitized) return leasepool::test::skip("a sanitizer cannot do without descriptors");
  const auto end = run_in_child([] {
    allow_descriptors(1);
    const auto before = open_descriptors();
    bool failed = false;
    try {
      const LoopOnRing refused;
    } catch (const std::system_error& error) {
      failed = true;
      const std::string_view text = error.what();
      (void)!::write(STDERR_FILENO, text.data(), text.size());
    }
    check(failed, "the loop cannot be constructed");
    check(open_descriptors() == before, "nothing stays open");
  });
  CHECK(end.exited_with(0));
  CHECK_THAT(end.output, ContainsSubstring("eventfd"));
}
