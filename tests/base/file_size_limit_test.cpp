// The room below RLIMIT_FSIZE, also where fstat(2) is refused: a byte too many brings a signal.
#include "base/file_size_limit.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "base/unique_fd.hpp"
#include "catch.hpp"
#include "support/child.hpp"
#include "support/refuse.hpp"

namespace {

using leasepool::detail::room_below_file_size_limit;
using leasepool::detail::UniqueFd;

void expect_room(std::size_t room, std::size_t expected, const char* of) {
  if (room != expected) throw std::runtime_error(std::string(of) + ": " + std::to_string(room));
}

UniqueFd file_of_600_bytes() {
  UniqueFd file(::memfd_create("a test's", MFD_CLOEXEC));
  if (::ftruncate(file.get(), 600) != 0) throw std::runtime_error("ftruncate");
  return file;
}

void limit_size_of_files(rlim_t most) {
  const rlimit limit{.rlim_cur = most, .rlim_max = most};
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) throw std::runtime_error("setrlimit");
}

}  // namespace

TEST_CASE("the room in a file ends at RLIMIT_FSIZE") {
  const auto end = leasepool::test::run_in_child([] {
    const UniqueFd file = file_of_600_bytes();
    expect_room(room_below_file_size_limit(file.get()), SIZE_MAX, "without a limit");
    limit_size_of_files(1000);
    expect_room(room_below_file_size_limit(file.get()), 400, "at its end");
    expect_room(room_below_file_size_limit(file.get(), 900), 100, "at an offset");
    expect_room(room_below_file_size_limit(file.get(), 1000), 0, "at the limit");
    const UniqueFd device(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    expect_room(room_below_file_size_limit(device.get()), SIZE_MAX, "of a device");
  });
  CAPTURE(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("a file that does not say what it is and how large has room below RLIMIT_FSIZE alone") {
  const auto end = leasepool::test::run_in_child([] {
    const UniqueFd file = file_of_600_bytes();
    if (!leasepool::test::refuse_fstat(ENOMEM)) throw std::runtime_error("seccomp");
    expect_room(room_below_file_size_limit(file.get()), SIZE_MAX, "without a limit");
    limit_size_of_files(1000);
    expect_room(room_below_file_size_limit(file.get()), 0, "at its end, wherever that is");
    expect_room(room_below_file_size_limit(file.get(), 900), 100, "at an offset");
  });
  CAPTURE(end.output);
  CHECK(end.exited_with(0));
}
