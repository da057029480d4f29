// Tests of a program that has closed its standard streams: what the library opens is none of them, as what the program
// prints would go into it.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "io_support.hpp"
#include "support/child.hpp"

namespace closed_streams_cases {

using leasepool::Fd;
using leasepool::File;
using leasepool::Loop;
using leasepool::LoopEngine;
using leasepool::Stream;
using leasepool::Task;
using leasepool::TcpListener;
using leasepool::test::run;

// For the time of its life, but for the last moment: who catches what was thrown can say so.
class ClosedStreams {
 public:
  ClosedStreams() : report_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(fd);
  }
  ClosedStreams(const ClosedStreams&) = delete;
  ClosedStreams& operator=(const ClosedStreams&) = delete;
  ~ClosedStreams() { ::dup2(report_.get(), STDERR_FILENO); }

 private:
  Fd report_;
};

void check_closed(const char* what) {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
      throw std::runtime_error(std::string(what) + " became one of them");
  }
}

Task<> open_everything(Loop& loop) {
  TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
  check_closed("a listener");
  auto connecting = leasepool::connect(loop, {.host = "127.0.0.1", .port = listener.port()});
  const Stream client = co_await connecting;
  check_closed("a connection that was made");
  auto accepting = listener.accept();
  const Stream peer = co_await accepting;
  check_closed("a connection that was taken");
  auto opening = File::open(loop, "/proc/self/stat", leasepool::FileMode::read);
  const File file = co_await opening;
  check_closed("a file");
  auto making = File::temporary(loop);
  const File temporary = co_await making;
  check_closed("a temporary file");
  const Fd copy = Fd(::memfd_create("a test's", MFD_CLOEXEC)).duplicate();
  check_closed("a duplicate");
  leasepool::SharedBuffer buffer(4096);
  check_closed("shared memory");
}

}  // namespace closed_streams_cases

TEST_CASE("what is opened where the standard streams are closed is none of them", "[listener][file]") {
  using namespace closed_streams_cases;
  const LoopEngine engine = GENERATE(LoopEngine::automatic, LoopEngine::epoll);
  const auto end = leasepool::test::run_in_child([engine] {
    const ClosedStreams closed;
    Loop loop({.engine = engine});
    check_closed("a loop");
    (void)loop.poll_fd();
    check_closed("a loop in another one");
    run(loop, [&] { return open_everything(loop); });
  });
  CAPTURE(end.output);
  CHECK(end.exited_with(0));
}
