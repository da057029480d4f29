// Tests of UniqueFd: one owner, closed once.
#include "base/unique_fd.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "catch.hpp"
#include "support/child.hpp"
#include "support/process_state.hpp"

using leasepool::detail::UniqueFd;
using leasepool::test::open_descriptors;

namespace {

UniqueFd open_something() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

}  // namespace

TEST_CASE("a descriptor is closed with its owner", "[fd]") {
  const auto before = open_descriptors();
  int number = -1;
  {
    const UniqueFd fd = open_something();
    number = fd.get();
    REQUIRE(fd);
    CHECK(is_open(number));
    CHECK(open_descriptors() != before);
  }
  CHECK_FALSE(is_open(number));
  CHECK(open_descriptors() == before);
}

TEST_CASE("an owner of nothing closes nothing", "[fd]") {
  const auto before = open_descriptors();
  {
    UniqueFd nothing;
    CHECK_FALSE(nothing);
    CHECK(nothing.get() == -1);
    nothing.reset();
    const UniqueFd failed(-1);
    CHECK_FALSE(failed);
    UniqueFd zero(0);
    CHECK(zero);
    CHECK(zero.release() == 0);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a descriptor has one owner, however it is moved", "[fd]") {
  const auto before = open_descriptors();
  {
    UniqueFd first = open_something();
    const int number = first.get();
    UniqueFd second(std::move(first));
    CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): a moved-from owner is empty
    CHECK(second.get() == number);

    UniqueFd third = open_something();
    const int replaced = third.get();
    third = std::move(second);
    CHECK_FALSE(second);  // NOLINT(bugprone-use-after-move)
    CHECK(third.get() == number);
    CHECK_FALSE(is_open(replaced));
    CHECK(is_open(number));

    UniqueFd& same = third;
    third = std::move(same);
    CHECK(third.get() == number);
    CHECK(is_open(number));
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a released descriptor stays open, and a reset one is closed once", "[fd]") {
  UniqueFd fd = open_something();
  const int released = fd.release();
  CHECK_FALSE(fd);
  CHECK(is_open(released));

  UniqueFd again(released);
  again.reset();
  CHECK_FALSE(is_open(released));
  const UniqueFd takes_the_number = open_something();
  REQUIRE(takes_the_number.get() == released);
  again.reset();
  CHECK(is_open(released));
}

TEST_CASE("where the limit has no descriptor above the standard streams, too many files are open", "[fd]") {
  const auto end = leasepool::test::run_in_child([] {
    const rlimit few{.rlim_cur = STDERR_FILENO + 1, .rlim_max = STDERR_FILENO + 1};
    if (::setrlimit(RLIMIT_NOFILE, &few) != 0) ::_exit(1);
    const UniqueFd copy = leasepool::detail::duplicate_above_standard_streams(STDERR_FILENO);
    if (copy || errno != EMFILE) ::_exit(2);
  });
  CHECK(end.exited_with(0));
}
