// Tests that hold of either engine: what it does on files, pipes, terminals and devices.
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "engine_operations.hpp"
#include "loop/epoll_engine.hpp"
#include "loop/ring.hpp"
#include "support/child.hpp"
#include "support/process_state.hpp"
#include "support/refuse.hpp"
#include "support/sanitized.hpp"
#include "support/temporary_directory.hpp"
#include "support/watchdog.hpp"

namespace engine_files {

using namespace leasepool::test;
using leasepool::detail::check;
using leasepool::detail::EpollEngine;
using leasepool::detail::monotonic_now;
using leasepool::detail::Ring;
using leasepool::detail::UniqueFd;
using namespace std::chrono_literals;

struct Pipe {
  Pipe() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    out = UniqueFd(ends[0]);
    in = UniqueFd(ends[1]);
  }
  UniqueFd out;
  UniqueFd in;
};

// The two ends of a terminal, whose user's end takes bytes as they are.
struct Terminal {
  Terminal() : program(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    REQUIRE(program);
    REQUIRE(::grantpt(program.get()) == 0);
    REQUIRE(::unlockpt(program.get()) == 0);
    user = UniqueFd(::open(::ptsname(program.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    REQUIRE(user);
  }
  UniqueFd program;
  UniqueFd user;
};

inline bool blocks(const UniqueFd& fd) { return (::fcntl(fd.get(), F_GETFL) & O_NONBLOCK) == 0; }

// Reads what comes through a pipe and writes more than it holds, in the engine of a process of its own.
inline void use_pipe() {
  EpollEngine engine;
  const Pipe pipe;
  std::array<char, 16> into{};
  Record read;
  engine.start(reading(pipe.out.get(), into), read.handler(), kNever);
  settle(engine);
  check(read.all.empty(), "there is nothing to be read");
  check(::write(pipe.in.get(), "abc", 3) == 3, "three bytes");
  finish(engine);
  check(read.all[0].result == 3, "they are read");

  const std::string much(300'000, 'x');
  std::size_t written = 0;
  std::function<void(Completion)> write_more = [&](Completion completion) {
    check(completion.result >= 0, "it is written");
    written += static_cast<std::size_t>(completion.result);
    if (written < much.size())
      engine.start(writing(pipe.in.get(), std::string_view(much).substr(written)), write_more, kNever);
  };
  write_more({});
  settle(engine);
  check(written < much.size(), "the pipe does not hold all");
  std::size_t come = 0;
  std::vector<char> buffer(10'000);
  std::function<void(Completion)> read_more = [&](Completion completion) {
    check(completion.result >= 0, "it is read");
    come += static_cast<std::size_t>(completion.result);
    if (come < much.size()) engine.start(reading(pipe.out.get(), buffer), read_more, kNever);
  };
  read_more({});
  finish(engine);
  check(come == much.size(), "all of it came");
  check(blocks(pipe.in) && blocks(pipe.out), "the flags are what they were");
}

// The same through a terminal.
inline void use_terminal() {
  EpollEngine engine;
  const Terminal terminal;
  std::array<char, 16> into{};
  Record read;
  engine.start(reading(terminal.user.get(), into), read.handler(), kNever);
  settle(engine);
  check(read.all.empty(), "nobody has typed a line");
  check(::write(terminal.program.get(), "ab\n", 3) == 3, "a line");
  finish(engine);
  check(read.all[0].result == 3, "it is read");

  const std::string much(200'000, 'x');
  std::size_t written = 0;
  std::function<void(Completion)> write_more = [&](Completion completion) {
    check(completion.result >= 0, "it is written");
    written += static_cast<std::size_t>(completion.result);
    if (written < much.size())
      engine.start(writing(terminal.user.get(), std::string_view(much).substr(written)), write_more, kNever);
  };
  write_more({});
  settle(engine);
  check(written < much.size(), "the terminal does not hold all");
  std::size_t come = 0;
  std::vector<char> buffer(10'000);
  std::function<void(Completion)> read_more = [&](Completion completion) {
    check(completion.result >= 0, "it is read");
    come += static_cast<std::size_t>(completion.result);
    if (come < much.size()) engine.start(reading(terminal.program.get(), buffer), read_more, kNever);
  };
  read_more({});
  while (written < much.size() || come < much.size()) turn(engine);
  check(blocks(terminal.user), "the flags are what they were");
}

}  // namespace engine_files

TEMPLATE_TEST_CASE("files are opened, written, synced and read", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_files;
  const Watchdog watchdog("a file did not answer");
  TestType engine;
  const TemporaryDirectory directory;
  const std::string path = (directory.path() / "file").string();
  CHECK(result_of(engine, opening(path, O_RDWR)) == -ENOENT);
  const UniqueFd file(result_of(engine, opening(path, O_RDWR | O_CREAT)));
  REQUIRE(file);
  CHECK((::fcntl(file.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(result_of(engine, writing(file.get(), "0123456789")) == 10);
  CHECK(result_of(engine, writing(file.get(), "ab", 3)) == 2);
  CHECK(result_of(engine, {.kind = Kind::sync, .fd = file.get()}) == 0);
  std::array<char, 16> into{};
  CHECK(result_of(engine, reading(file.get(), into)) == 0);  // at its own position, which is the end
  CHECK(result_of(engine, reading(file.get(), into, 0)) == 10);
  CHECK(std::string_view(into.data(), 10) == "012ab56789");
  CHECK(result_of(engine, reading(file.get(), into, 8)) == 2);
  CHECK(result_of(engine, reading(file.get(), into, 100)) == 0);
  const UniqueFd directory_fd(result_of(engine, opening(directory.path().string(), O_RDONLY | O_DIRECTORY)));
  CHECK(result_of(engine, reading(directory_fd.get(), into)) == -EISDIR);
}

TEST_CASE("files use a few threads, however many operations there are", "[engine][I8]") {
  using namespace engine_files;
  const Watchdog watchdog("a file did not answer");
  const std::size_t before = thread_count();
  {
    EpollEngine engine;
    const TemporaryDirectory directory;
    const UniqueFd file(result_of(engine, opening((directory.path() / "file").string(), O_RDWR | O_CREAT)));
    std::array<std::array<char, 8>, 200> into{};
    std::size_t done = 0;
    for (std::size_t i = 0; i < into.size(); ++i) {
      engine.start(
          writing(file.get(), "12345678", 8 * i),
          [&](Completion completion) { done += completion.result == 8 ? 1 : 0; }, kNever);
    }
    finish(engine);
    CHECK(done == 200);
    for (std::size_t i = 0; i < into.size(); ++i) {
      engine.start(
          reading(file.get(), into[i], 8 * i), [&](Completion completion) { done += completion.result == 8 ? 1 : 0; },
          kNever);
    }
    CHECK(done == 200);  // never inside the call that starts it
    finish(engine);
    CHECK(done == 400);
    CHECK(thread_count() <= before + 4);
  }
  CHECK(thread_count() <= before + 1);  // a joined one may be seen a moment longer
}

TEST_CASE("what runs on a thread has ended when it was cancelled and reaped", "[engine][I8]") {
  using namespace engine_files;
  const Watchdog watchdog("a cancelled file operation did not end");
  EpollEngine engine;
  const TemporaryDirectory directory;
  const UniqueFd file(result_of(engine, opening((directory.path() / "file").string(), O_RDWR | O_CREAT)));
  constexpr int kSize = 1 << 20;
  REQUIRE(::ftruncate(file.get(), kSize) == 0);
  for (int round = 0; round < 50; ++round) {
    std::array<OperationId, 8> ids{};
    std::size_t ended = 0;
    {
      std::array<std::vector<char>, 8> into;  // AddressSanitizer looks at who touches it later
      for (std::size_t i = 0; i < ids.size(); ++i) {
        into[i].resize(kSize);
        ids[i] = engine.start(
            reading(file.get(), into[i], 0),
            [&](Completion completion) {
              ++ended;
              CHECK((completion.result == kSize || completion.result == -ECANCELED));
            },
            kNever);
      }
      engine.submit_and_reap();
      for (const OperationId id : ids) engine.cancel_and_reap(id);
      CHECK(ended == 0);
    }
    finish(engine);
    CHECK(ended == 8);
  }
}

TEST_CASE("pipes that block are read and written without waiting, and keep their flags", "[engine][I8]") {
  const auto end = leasepool::test::run_in_child(&engine_files::use_pipe);
  INFO(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("terminals are read and written without waiting, and keep their flags", "[engine][I8]") {
  const auto end = leasepool::test::run_in_child(&engine_files::use_terminal);
  INFO(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("pipes work where the kernel cannot be asked not to wait", "[engine][I8]") {
  const int error = GENERATE(EOPNOTSUPP, ENOSYS);
  const auto end = leasepool::test::run_in_child([error] {
    leasepool::test::refuse(SYS_preadv2, error);
    leasepool::test::refuse(SYS_pwritev2, error);
    engine_files::use_pipe();
  });
  INFO(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("a pipe without a reader is an error and no signal", "[engine][I8]") {
  using namespace engine_files;
  const bool old_kernel = GENERATE(false, true);
  const auto end = run_in_child([old_kernel] {
    if (old_kernel) refuse(SYS_pwritev2, EOPNOTSUPP);
    Pipe pipe;
    pipe.out.reset();
    EpollEngine engine;
    check(completion_of(engine, writing(pipe.in.get(), "x")).result == -EPIPE, "it says so");
    sigset_t signals;
    sigpending(&signals);
    check(sigismember(&signals, SIGPIPE) == 0, "no signal waits");
    pthread_sigmask(SIG_SETMASK, nullptr, &signals);
    check(sigismember(&signals, SIGPIPE) == 0, "and none is blocked");
    // One that waits since before stays.
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    ::raise(SIGPIPE);
    check(completion_of(engine, writing(pipe.in.get(), "x")).result == -EPIPE, "it says so again");
    sigpending(&signals);
    check(sigismember(&signals, SIGPIPE) == 1, "the signal still waits");
  });
  INFO(end.output);
  CHECK(end.exited_with(0));
}

TEMPLATE_TEST_CASE("a read of a pipe ends with its writer, its deadline or its cancellation", "[engine][I8]",
                   leasepool::detail::Ring, leasepool::detail::EpollEngine) {
  using namespace engine_files;
  const Watchdog watchdog("a read did not end");
  TestType engine;
  Pipe pipe;
  std::array<char, 4> into{};
  Record record;
  SECTION("its writer") {
    engine.start(reading(pipe.out.get(), into), record.handler(), kNever);
    settle(engine);
    pipe.in.reset();
    finish(engine);
    REQUIRE(record.all.size() == 1);
    CHECK(record.all[0].result == 0);
  }
  SECTION("its deadline") {
    const auto deadline = monotonic_now() + 3ms;
    const Completion completion = completion_of(engine, reading(pipe.out.get(), into), deadline);
    CHECK(completion.timed_out);
    CHECK(monotonic_now() >= deadline);
  }
  SECTION("its cancellation") {
    const OperationId id = engine.start(reading(pipe.out.get(), into), record.handler(), kNever);
    settle(engine);
    engine.cancel(id);
    finish(engine);
    REQUIRE(record.all.size() == 1);
    CHECK(record.all[0].result < 0);
  }
}

TEMPLATE_TEST_CASE("what cannot be polled is ready at once", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_files;
  TestType engine;
  const TemporaryDirectory directory;
  const UniqueFd file(::open((directory.path() / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC));
  for (const int fd : {file.get(), null.get(), zero.get()}) {
    CHECK(result_of(engine, {.kind = Kind::poll, .fd = fd, .flags = POLLIN}) == POLLIN);
    CHECK(result_of(engine, {.kind = Kind::poll, .fd = fd, .flags = POLLOUT}) == POLLOUT);
  }
  std::array<char, 4> into{'a', 'a', 'a', 'a'};
  CHECK(result_of(engine, reading(null.get(), into)) == 0);
  CHECK(result_of(engine, reading(zero.get(), into)) == 4);
  CHECK(into[3] == '\0');
  CHECK(result_of(engine, writing(null.get(), "abc")) == 3);
}

TEST_CASE("what neither can be polled nor asked not to wait is read on a thread", "[engine][I8]") {
  using namespace engine_files;
  const auto end = run_in_child([] {
    refuse(SYS_preadv2, EOPNOTSUPP);
    refuse(SYS_pwritev2, EOPNOTSUPP);
    EpollEngine engine;
    const UniqueFd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC));
    std::array<char, 4> into{'a', 'a', 'a', 'a'};
    check(completion_of(engine, reading(zero.get(), into)).result == 4, "it is read");
    check(completion_of(engine, writing(zero.get(), "abc")).result == 3, "and written");
  });
  INFO(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("a file on an engine that can have no threads says why", "[engine][I8]") {
  using namespace engine_files;
  if (kSanitized) return;
  const auto end = run_in_child([] {
    EpollEngine engine;
    refuse(SYS_clone3, EAGAIN);
    check(completion_of(engine, opening("/dev/null", O_RDONLY)).result == -EAGAIN, "it says why");
  });
  INFO(end.output);
  CHECK(end.exited_with(0));
}
