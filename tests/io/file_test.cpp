// Tests of File: reading and writing at places, opening, and what is gone when it is closed.
#include "leasepool/file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "io_support.hpp"
#include "support/child.hpp"
#include "support/temporary_directory.hpp"

namespace file_cases {

using leasepool::Errc;
using leasepool::File;
using leasepool::FileMode;
using leasepool::Loop;
using leasepool::Result;
using leasepool::Task;
using leasepool::test::bytes_of;
using leasepool::test::Failure;
using leasepool::test::failure_of;
using leasepool::test::run;
using leasepool::test::TemporaryDirectory;
using leasepool::test::text_of;
using leasepool::test::void_failure_of;
using namespace std::chrono_literals;

Task<Failure> open_failure(Loop& loop, std::string path, FileMode mode) {
  Failure failure;
  auto opening = File::open(loop, path, mode);
  try {
    const File file = co_await opening;
  } catch (const leasepool::IoError& error) {
    failure = {.code = error.code(), .what = error.what(), .transferred = error.transferred()};
  }
  co_return failure;
}

}  // namespace file_cases

TEST_CASE("a file is written and read at any place", "[file]") {
  using namespace file_cases;
  const TemporaryDirectory directory;
  Loop loop;
  run(loop, [&]() -> Task<> {
    auto opening = File::open(loop, directory / "file", FileMode::create_new);
    File file = co_await opening;
    const std::string text(700'000, 'x');
    co_await file.write_at(10, text);
    co_await file.write_at(0, std::string_view("0123456789"));
    co_await file.sync();
    const auto size = co_await file.size();
    CHECK(size == 700'010);
    std::vector<std::byte> all(800'000);
    const std::size_t count = co_await file.read_at(5, all);
    CHECK(text_of(std::span(all).first(count)) == "56789" + text);
    const std::size_t behind = co_await file.read_at(1'000'000, all);
    CHECK(behind == 0);
    const std::size_t nothing = co_await file.read_at(0, std::span<std::byte>());
    CHECK(nothing == 0);
  });
}

TEST_CASE("how a file is opened says what becomes of what it had", "[file][I5]") {
  using namespace file_cases;
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  Loop loop;
  run(loop, [&]() -> Task<> {
    const Failure missing = co_await open_failure(loop, path, FileMode::read);
    CHECK(missing.code == std::errc::no_such_file_or_directory);
    CHECK(missing.what.find("open " + path) != std::string::npos);
    {
      auto opening = File::open(loop, path, FileMode::write, {.permissions = 0640});
      File file = co_await opening;
      co_await file.write_at(0, std::string_view("abc"));
    }
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777U) == 0640U);
    {
      auto opening = File::open(loop, path, FileMode::append);
      File file = co_await opening;
      co_await file.write_at(0, std::string_view("def"));
    }
    auto reading = File::read_all(loop, path);
    std::string text = co_await reading;
    CHECK(text == "abcdef");
    {
      auto opening = File::open(loop, path, FileMode::read_write);
      File file = co_await opening;
      co_await file.write_at(1, std::string_view("-"));
    }
    auto again = File::read_all(loop, path);
    text = co_await again;
    CHECK(text == "a-cdef");
    const Failure exists = co_await open_failure(loop, path, FileMode::create_new);
    CHECK(exists.code == std::errc::file_exists);
    {
      auto opening = File::open(loop, path, FileMode::write);
      const File emptied = co_await opening;
    }
    auto emptied = File::read_all(loop, path);
    text = co_await emptied;
    CHECK(text.empty());
  });
}

TEST_CASE("a whole small file is read, and one that is too large refused", "[file]") {
  using namespace file_cases;
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  std::ofstream(path) << std::string(100'000, 'y');
  Loop loop;
  run(loop, [&]() -> Task<> {
    auto reading = File::read_all(loop, path);
    std::string text = co_await reading;
    CHECK(text.size() == 100'000);
    auto exactly = File::read_all(loop, path, 100'000);
    text = co_await exactly;
    CHECK(text.size() == 100'000);
    const Failure large = co_await failure_of(File::read_all(loop, path, 99'999));
    CHECK(large.code == Errc::payload_too_large);
    auto of_system = File::read_all(loop, "/proc/self/status");
    text = co_await of_system;
    CHECK(text.starts_with("Name:"));
  });
}

TEST_CASE("a temporary file has no name, and needs no directory", "[file]") {
  using namespace file_cases;
  const bool has_directory = GENERATE(true, false);
  CAPTURE(has_directory);
  const TemporaryDirectory directory;
  REQUIRE(::setenv("TMPDIR", has_directory ? directory.path().c_str() : "/nowhere/at/all", 1) == 0);
  Loop loop;
  run(loop, [&]() -> Task<> {
    File file = co_await File::temporary(loop);
    co_await file.write_at(0, std::string_view("abc"));
    std::array<std::byte, 8> buffer{};
    const std::size_t count = co_await file.read_at(1, buffer);
    CHECK(text_of(std::span(buffer).first(count)) == "bc");
  });
  CHECK(std::filesystem::is_empty(directory.path()));
  REQUIRE(::unsetenv("TMPDIR") == 0);
}

TEST_CASE("a file that may not grow further is an error and no signal", "[file][I5]") {
  using namespace file_cases;
  const TemporaryDirectory directory;
  const auto end = leasepool::test::run_in_child([&] {
    const rlimit few{.rlim_cur = 1000, .rlim_max = 1000};
    if (::setrlimit(RLIMIT_FSIZE, &few) != 0) ::_exit(1);
    Loop loop;
    run(loop, [&]() -> Task<> {
      auto opening = File::open(loop, directory / "file", FileMode::write);
      File file = co_await opening;
      const std::string text(1500, 'x');
      const Failure large = co_await void_failure_of(file.write_at(0, text));
      if (large.code != std::errc::file_too_large || large.transferred != 1000) ::_exit(2);
    });
  });
  CAPTURE(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("closing a file ends its operations with cancelled, once", "[file][I4]") {
  using namespace file_cases;
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  std::ofstream(path) << std::string(1 << 20, 'z');
  Loop loop;
  std::optional<File> file;
  run(loop, [&]() -> Task<> {
    auto opening = File::open(loop, path, FileMode::read);
    file.emplace(co_await opening);
  });
  std::vector<std::byte> buffer(1 << 20);
  int ended = 0;
  const int fd = file->fd();
  file->read_at_async(0, buffer, {}, [&](const Result<std::size_t>& count) {
    ++ended;
    CHECK((count.has_value() || count.error().code() == Errc::cancelled));
  });
  file->close();
  CHECK(ended == 0);
  CHECK(file->fd() == -1);
  for (int i = 0; i < 1000 && (ended == 0 || ::fcntl(fd, F_GETFD) != -1); ++i) {
    loop.dispatch();
    ::usleep(1000);
  }
  CHECK(ended == 1);
  CHECK(::fcntl(fd, F_GETFD) == -1);
  CHECK_THROWS_AS(file->read_at(0, buffer), leasepool::LeasePoolError);
}

TEST_CASE("after a cancelled write to a file all writes fail with cancelled", "[file][I3]") {
  using namespace file_cases;
  const TemporaryDirectory directory;
  Loop loop;
  run(loop, [&]() -> Task<> {
    auto opening = File::open(loop, directory / "file", FileMode::write);
    File file = co_await opening;
    const std::string text(1 << 20, 'x');
    auto at_once = []() -> Task<> { co_return; };
    auto writing = file.write_at(0, text);
    auto first = leasepool::when_any(std::move(writing), at_once());
    const auto which = co_await first;
    CHECK(which.index() == 1);
    const Failure next = co_await void_failure_of(file.write_at(0, std::string_view("y")));
    CHECK(next.code == Errc::cancelled);
  });
}

TEST_CASE("a FIFO is opened without waiting for its other end", "[file]") {
  using namespace file_cases;
  const TemporaryDirectory directory;
  const std::string path = directory / "fifo";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  Loop loop;
  run(loop, [&]() -> Task<> {
    const Failure nobody = co_await open_failure(loop, path, FileMode::append);
    CHECK(nobody.code == std::errc::no_such_device_or_address);
    auto opening = File::open(loop, path, FileMode::read);
    const File file = co_await opening;
    CHECK((::fcntl(file.fd(), F_GETFL) & O_NONBLOCK) == 0);
  });
}

TEST_CASE("wrong calls of a file name the field and the value", "[file]") {
  using namespace file_cases;
  Loop loop;
  CHECK_THROWS_WITH(File::open(loop, "", FileMode::read), ContainsSubstring("path"));
  CHECK_THROWS_WITH(File::open(loop, std::string_view("a\0b", 3), FileMode::read), ContainsSubstring("path"));
  CHECK_THROWS_WITH(File::open(loop, "x", FileMode::write, {.permissions = 010000}), ContainsSubstring("permissions"));
  CHECK_THROWS_WITH(File::open(loop, "x", FileMode::write, {.timeout = -1s}), ContainsSubstring("timeout"));
  File file(loop, leasepool::Fd(::open("/dev/null", O_RDWR | O_CLOEXEC)));
  std::array<std::byte, 8> buffer{};
  CHECK_THROWS_WITH(file.read_at(UINT64_MAX, buffer), ContainsSubstring("offset = 18446744073709551615"));
  CHECK_THROWS_AS(File(loop, leasepool::Fd()), std::invalid_argument);
}
