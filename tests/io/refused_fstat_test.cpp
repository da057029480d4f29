// Tests of I/O where fstat(2) is refused: what a descriptor is has to be found out otherwise, or a signal comes.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "io_support.hpp"
#include "support/child.hpp"
#include "support/refuse.hpp"

namespace refused_fstat_cases {

using leasepool::Fd;
using leasepool::Loop;
using leasepool::LoopEngine;
using leasepool::Stream;
using leasepool::Task;
using leasepool::test::ChildEnd;
using leasepool::test::Failure;
using leasepool::test::refuse_fstat;
using leasepool::test::run;
using leasepool::test::run_in_child;
using leasepool::test::StreamPair;
using leasepool::test::void_failure_of;

void expect(bool holds, const char* otherwise) {
  if (!holds) throw std::runtime_error(otherwise);
}

// In a child, as a filter stays, and as a signal would end it.
template <class Body>
ChildEnd run_refused(LoopEngine engine, Body body) {
  return run_in_child([&] {
    Loop loop({.engine = engine});
    expect(refuse_fstat(ENOMEM), "seccomp");
    run(loop, [&] { return body(loop); });
  });
}

Task<> write_to_nobody(Stream& stream, const char* otherwise) {
  const std::string text(100, 'x');
  Failure failure;
  for (int i = 0; i < 2 && !failure.code; ++i) failure = co_await void_failure_of(stream.write(text));
  expect(failure.code == std::errc::broken_pipe, otherwise);
}

}  // namespace refused_fstat_cases

TEST_CASE("where fstat is refused a socket is one: it has an end, and nobody there brings no signal", "[stream][I5]") {
  using namespace refused_fstat_cases;
  const LoopEngine engine = GENERATE(LoopEngine::automatic, LoopEngine::epoll);
  const auto end = run_refused(engine, [](Loop& loop) -> Task<> {
    StreamPair pair(loop);
    co_await pair.left.write(std::string_view("abc"));
    pair.left.shutdown_write();
    std::array<std::byte, 8> buffer{};
    expect(co_await pair.right.read(buffer) == 3, "other bytes");
    expect(co_await pair.right.read(buffer) == 0, "no end");
    pair.left.close();
    co_await write_to_nobody(pair.right, "a socket that nobody reads was written to");
  });
  CAPTURE(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("where fstat is refused a pipe is one: nobody there brings no signal", "[stream][I5]") {
  using namespace refused_fstat_cases;
  const LoopEngine engine = GENERATE(LoopEngine::automatic, LoopEngine::epoll);
  const auto end = run_refused(engine, [](Loop& loop) -> Task<> {
    std::array<int, 2> ends{};
    expect(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe2");
    Stream from(loop, Fd(ends[0]));
    Stream to(loop, Fd(ends[1]));
    co_await to.write(std::string_view("abc"));
    std::array<std::byte, 8> buffer{};
    expect(co_await from.read(buffer) == 3, "other bytes");
    from.close();
    co_await write_to_nobody(to, "a pipe that nobody reads was written to");
  });
  CAPTURE(end.output);
  CHECK(end.exited_with(0));
}
