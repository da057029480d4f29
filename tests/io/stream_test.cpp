// Tests of Stream: what reads and writes promise on sockets, pipes and files.
#include "leasepool/stream.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "io_support.hpp"
#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

namespace stream_cases {

using leasepool::Errc;
using leasepool::Fd;
using leasepool::Loop;
using leasepool::Stream;
using leasepool::Task;
using leasepool::test::bytes_of;
using leasepool::test::Failure;
using leasepool::test::failure_of;
using leasepool::test::run;
using leasepool::test::StreamPair;
using leasepool::test::text_of;
using leasepool::test::void_failure_of;
using namespace std::chrono_literals;

struct Pipe {
  Pipe() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    read_end = Fd(ends[0]);
    write_end = Fd(ends[1]);
  }
  Fd read_end;
  Fd write_end;
};

std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 131 >> 3);
  return bytes;
}

Task<> write_all(Stream& stream, std::span<const std::byte> bytes) {
  co_await stream.write(bytes);
  stream.shutdown_write();
}

Task<std::string> read_to_end(Stream& stream) {
  std::string text;
  std::array<std::byte, 1000> buffer{};
  for (;;) {
    const std::size_t count = co_await stream.read(buffer);
    if (count == 0) co_return text;
    text += text_of(std::span(buffer).first(count));
  }
}

}  // namespace stream_cases

TEST_CASE("a read returns what there is, and 0 at the end", "[stream][I1]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  run(loop, [&]() -> Task<> {
    std::array<std::byte, 64> buffer{};
    co_await pair.left.write(std::string_view("hello"));
    const std::size_t count = co_await pair.right.read(buffer);
    CHECK(text_of(std::span(buffer).first(count)) == "hello");
    pair.left.shutdown_write();
    const std::size_t at_end = co_await pair.right.read(buffer);
    CHECK(at_end == 0);
    const std::size_t again = co_await pair.right.read(buffer);
    CHECK(again == 0);
  });
}

TEST_CASE("a write of more than a socket holds is sent whole, and read whole", "[stream][I1]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  const auto bytes = pattern(3 << 20);
  std::string came;
  run(loop, [&]() -> Task<> {
    auto writes = write_all(pair.left, bytes);
    auto reads = read_to_end(pair.right);
    auto both = leasepool::when_all(std::move(writes), std::move(reads));
    came = std::get<1>(co_await both);
  });
  CHECK(came == text_of(bytes));
}

TEST_CASE("read_exactly fills its buffer, or says how much had come", "[stream][I1]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  run(loop, [&]() -> Task<> {
    std::array<std::byte, 8> buffer{};
    co_await pair.left.write(std::string_view("12345678abc"));
    co_await pair.right.read_exactly(buffer);
    CHECK(text_of(buffer) == "12345678");
    pair.left.shutdown_write();
    const Failure end = co_await void_failure_of(pair.right.read_exactly(buffer));
    CHECK(end.code == Errc::end_of_stream);
    CHECK(end.transferred == 3);
    CHECK(text_of(std::span(buffer).first(3)) == "abc");
  });
}

TEST_CASE("read_until returns lines, and keeps what came behind them", "[stream][I1]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  run(loop, [&]() -> Task<> {
    std::array<std::byte, 16> buffer{};
    const auto line = [&]() -> Task<std::string> {
      auto reading = pair.right.read_until(buffer, "\r\n");
      const std::size_t size = co_await reading;
      co_return text_of(std::span(buffer).first(size));
    };
    const auto rest = [&]() -> Task<std::string> {
      const std::size_t size = co_await pair.right.read(buffer);
      co_return text_of(std::span(buffer).first(size));
    };
    std::string text;
    co_await pair.left.write(std::string_view("one\r\ntwo\r\nthr"));
    text = co_await line();
    CHECK(text == "one\r\n");
    text = co_await line();
    CHECK(text == "two\r\n");
    co_await pair.left.write(std::string_view("ee\r"));
    auto writing = pair.left.write(std::string_view("\nrest"));
    auto both = leasepool::when_all(line(), std::move(writing));
    text = std::get<0>(co_await both);
    CHECK(text == "three\r\n");
    text = co_await rest();
    CHECK(text == "rest");

    co_await pair.left.write(std::string_view("a line that is longer than the buffer\n"));
    const Failure too_long = co_await failure_of(pair.right.read_until(buffer, "\n"));
    CHECK(too_long.code == Errc::payload_too_large);
    text = co_await rest();
    CHECK(text == "a line that is l");
    text = co_await rest();
    CHECK(text == "onger than the b");
    text = co_await rest();
    CHECK(text == "uffer\n");

    co_await pair.left.write(std::string_view("no end"));
    pair.left.shutdown_write();
    const Failure end = co_await failure_of(pair.right.read_until(buffer, "\n"));
    CHECK(end.code == Errc::end_of_stream);
    CHECK(end.transferred == 6);
    text = co_await rest();
    CHECK(text == "no end");
  });
}

TEST_CASE("a gathered write sends its parts in order", "[stream][I1]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  const auto body = pattern(1 << 20);
  const std::array<std::span<const std::byte>, 4> parts{bytes_of("head"), {}, body, bytes_of("tail")};
  std::string came;
  run(loop, [&]() -> Task<> {
    auto writes = [&]() -> Task<> {
      co_await pair.left.write(parts);
      pair.left.shutdown_write();
    };
    auto both = leasepool::when_all(writes(), read_to_end(pair.right));
    came = std::get<1>(co_await both);
  });
  CHECK(came == "head" + text_of(body) + "tail");
}

TEST_CASE("pipes are streams, whatever their flags", "[stream][I1]") {
  using namespace stream_cases;
  const bool blocking = GENERATE(true, false);
  CAPTURE(blocking);
  Loop loop;
  Pipe pipe;
  if (!blocking) {
    REQUIRE(::fcntl(pipe.read_end.get(), F_SETFL, O_NONBLOCK) == 0);
    REQUIRE(::fcntl(pipe.write_end.get(), F_SETFL, O_NONBLOCK) == 0);
  }
  const int flags = ::fcntl(pipe.read_end.get(), F_GETFL);
  Stream reader(loop, std::move(pipe.read_end));
  Stream writer(loop, std::move(pipe.write_end));
  const auto bytes = pattern(1 << 20);
  std::string came;
  run(loop, [&]() -> Task<> {
    auto writes = [&]() -> Task<> {
      co_await writer.write(bytes);
      writer.close();
    };
    auto both = leasepool::when_all(writes(), read_to_end(reader));
    came = std::get<1>(co_await both);
  });
  CHECK(came == text_of(bytes));
  CHECK(::fcntl(reader.fd(), F_GETFL) == flags);
}

TEST_CASE("the end of who reads is an error and no signal, on sockets and pipes", "[stream][I1][I5]") {
  using namespace stream_cases;
  struct sigaction before{};
  struct sigaction after{};
  REQUIRE(::sigaction(SIGPIPE, nullptr, &before) == 0);
  REQUIRE(before.sa_handler == SIG_DFL);
  Loop loop;
  StreamPair pair(loop);
  pair.right.close();
  Pipe pipe;
  pipe.read_end.reset();
  Stream writer(loop, std::move(pipe.write_end));
  run(loop, [&]() -> Task<> {
    const Failure socket = co_await void_failure_of(pair.left.write(std::string_view("x")));
    CHECK(socket.code == std::errc::broken_pipe);
    CHECK(socket.what.find("write to") != std::string::npos);
    const Failure broken = co_await void_failure_of(writer.write(std::string_view("x")));
    CHECK(broken.code == std::errc::broken_pipe);
  });
  REQUIRE(::sigaction(SIGPIPE, nullptr, &after) == 0);
  CHECK(after.sa_handler == SIG_DFL);
  sigset_t pending;
  REQUIRE(::sigpending(&pending) == 0);
  CHECK(::sigismember(&pending, SIGPIPE) == 0);
}

TEST_CASE("a read that times out has lost nothing", "[stream][I2]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  run(loop, [&]() -> Task<> {
    std::array<std::byte, 8> buffer{};
    auto begun = std::chrono::steady_clock::now();
    const Failure late = co_await failure_of(pair.right.read(buffer, {.timeout = 20ms}));
    CHECK(late.code == Errc::timed_out);
    CHECK(late.transferred == 0);
    CHECK(std::chrono::steady_clock::now() - begun >= 20ms);

    co_await pair.left.write(std::string_view("123"));
    begun = std::chrono::steady_clock::now();
    const Failure part = co_await void_failure_of(pair.right.read_exactly(buffer, {.timeout = 20ms}));
    CHECK(part.code == Errc::timed_out);
    CHECK(part.transferred == 3);
    CHECK(text_of(std::span(buffer).first(3)) == "123");
    CHECK(std::chrono::steady_clock::now() - begun >= 20ms);

    co_await pair.left.write(std::string_view("456"));
    const Failure line = co_await failure_of(pair.right.read_until(buffer, "\n", {.timeout = 20ms}));
    CHECK(line.code == Errc::timed_out);
    const std::size_t count = co_await pair.right.read(buffer);
    CHECK(text_of(std::span(buffer).first(count)) == "456");
  });
}

TEST_CASE("a write that times out says how much it has sent, and that has come", "[stream][I2]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  const auto bytes = pattern(16 << 20);
  run(loop, [&]() -> Task<> {
    const Failure late = co_await void_failure_of(pair.left.write(bytes, {.timeout = 20ms}));
    CHECK(late.code == Errc::timed_out);
    CHECK(late.transferred > 0);
    CHECK(late.transferred < bytes.size());
    pair.left.shutdown_write();
    const std::string came = co_await read_to_end(pair.right);
    CHECK(came == text_of(std::span(bytes).first(late.transferred)));
  });
}

TEST_CASE("a timeout that has passed ends a verb, and one that never comes does not", "[stream][I2]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  run(loop, [&]() -> Task<> {
    std::array<std::byte, 8> buffer{};
    const Failure at_once = co_await failure_of(pair.right.read(buffer, {.timeout = 0s}));
    CHECK(at_once.code == Errc::timed_out);
    co_await pair.left.write(std::string_view("x"), {.timeout = leasepool::Duration::max()});
    const std::size_t count = co_await pair.right.read(buffer, {.timeout = leasepool::Duration::max()});
    CHECK(count == 1);
  });
}

TEST_CASE("what a cancelled read had taken is there for the next", "[stream][I3]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  run(loop, [&]() -> Task<> {
    std::array<std::byte, 8> buffer{};
    co_await pair.left.write(std::string_view("abc"));
    {
      auto reads = pair.right.read_exactly(buffer);
      auto sleeps = loop.sleep(10ms);
      auto first = leasepool::when_any(std::move(reads), std::move(sleeps));
      const auto which = co_await first;
      CHECK(which.index() == 1);
    }
    buffer.fill(std::byte{'-'});
    co_await pair.left.write(std::string_view("def"));
    co_await pair.right.read_exactly(std::span(buffer).first(6));
    CHECK(text_of(buffer) == "abcdef--");
  });
}

TEST_CASE("after a cancelled write all writes fail, and reads go on", "[stream][I3]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  const auto bytes = pattern(16 << 20);
  run(loop, [&]() -> Task<> {
    {
      auto writes = pair.left.write(bytes);
      auto sleeps = loop.sleep(10ms);
      auto first = leasepool::when_any(std::move(writes), std::move(sleeps));
      const auto which = co_await first;
      CHECK(which.index() == 1);
    }
    const Failure next = co_await void_failure_of(pair.left.write(std::string_view("x")));
    CHECK(next.code == Errc::cancelled);
    std::array<std::byte, 8> buffer{};
    co_await pair.right.write(std::string_view("y"));
    const std::size_t count = co_await pair.left.read(buffer);
    CHECK(count == 1);
  });
}

TEST_CASE("closing a stream ends its operations with cancelled, once, before its descriptor is closed",
          "[stream][I4]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  const auto bytes = pattern(16 << 20);
  std::array<std::byte, 8> buffer{};
  std::vector<std::string> order;
  const leasepool::test::Watchdog watchdog("close");
  pair.left.read_async(buffer, [&](const leasepool::Result<std::size_t>& count) {
    REQUIRE_FALSE(count.has_value());
    CHECK(count.error().code() == Errc::cancelled);
    order.emplace_back("read");
  });
  pair.left.write_async(bytes, [&](const leasepool::Result<void>& done) {
    REQUIRE_FALSE(done.has_value());
    CHECK(done.error().code() == Errc::cancelled);
    CHECK(done.error().transferred() > 0);
    order.emplace_back("write");
    loop.stop();
  });
  for (int i = 0; i < 3; ++i) loop.dispatch();
  const int fd = pair.left.fd();
  pair.left.close();
  CHECK(order.empty());  // never inside the call
  CHECK(pair.left.fd() == -1);
  CHECK(::fcntl(fd, F_GETFD) == -1);
  pair.left.close();
  loop.run();
  CHECK(order == std::vector<std::string>{"read", "write"});
  CHECK_THROWS_AS(pair.left.read(buffer), leasepool::LeasePoolError);
}

TEST_CASE("a reset by the other end is the errno, the verb and who it was", "[stream][I5]") {
  using namespace stream_cases;
  Loop loop;
  leasepool::TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
  run(loop, [&]() -> Task<> {
    const int port = listener.port();
    auto connects = leasepool::connect(loop, {.host = "127.0.0.1", .port = port});
    auto accepts = listener.accept();
    auto both = leasepool::when_all(std::move(connects), std::move(accepts));
    auto [ours, theirs] = co_await both;
    CHECK(ours.peer_address().port == port);
    CHECK(ours.local_address() == theirs.peer_address());
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    REQUIRE(::setsockopt(theirs.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    theirs.close();
    std::array<std::byte, 8> buffer{};
    const Failure reset = co_await failure_of(ours.read(buffer));
    CHECK(reset.code == std::errc::connection_reset);
    CHECK(reset.code == std::error_code(ECONNRESET, std::generic_category()));
    CHECK(reset.what.find("read from 127.0.0.1:" + std::to_string(port)) != std::string::npos);
  });
}

TEST_CASE("one read and one write at a time", "[stream]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  std::array<std::byte, 8> buffer{};
  pair.right.read_async(buffer, [](const leasepool::Result<std::size_t>&) {});
  CHECK_THROWS_AS(pair.right.read_async(buffer, [](const leasepool::Result<std::size_t>&) {}), std::logic_error);
  const auto bytes = pattern(16 << 20);
  pair.right.write_async(bytes, [](const leasepool::Result<void>&) {});
  CHECK_THROWS_AS(pair.right.write_async(bytes, [](const leasepool::Result<void>&) {}), std::logic_error);
}

TEST_CASE("wrong calls of a stream name the field and the value", "[stream]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  std::array<std::byte, 8> buffer{};
  CHECK_THROWS_WITH(pair.right.read(std::span<std::byte>()), ContainsSubstring("buffer"));
  CHECK_THROWS_WITH(pair.right.read(buffer, {.timeout = -5ms}), ContainsSubstring("timeout = -5 ms"));
  CHECK_THROWS_WITH(pair.right.read_until(buffer, ""), ContainsSubstring("delimiter"));
  CHECK_THROWS_AS(Stream(loop, Fd()), std::invalid_argument);
  CHECK_THROWS_AS(pair.right.read_async(buffer, nullptr), std::invalid_argument);
  Stream moved = std::move(pair.right);
  CHECK_THROWS_AS(pair.right.read(buffer), leasepool::LeasePoolError);
  CHECK(moved.fd() >= 0);
}

TEST_CASE("a stream may be moved while it is read and written", "[stream]") {
  using namespace stream_cases;
  Loop loop;
  StreamPair pair(loop);
  std::array<std::byte, 8> buffer{};
  const leasepool::test::Watchdog watchdog("move");
  pair.right.read_async(buffer, [&](const leasepool::Result<std::size_t>& count) {
    CHECK(count.value() == 2);
    loop.stop();
  });
  loop.dispatch();
  const Stream right = std::move(pair.right);
  pair.left.write_async(std::string_view("ab"), [](const leasepool::Result<void>& done) { CHECK(done.has_value()); });
  const Stream left = std::move(pair.left);
  loop.run();
}

TEST_CASE("a stream outlives its loop, closed", "[stream][I4]") {
  using namespace stream_cases;
  std::optional<StreamPair> pair;
  std::array<std::byte, 8> buffer{};
  int fd = -1;
  {
    Loop loop;
    pair.emplace(loop);
    fd = pair->right.fd();
    pair->right.read_async(buffer, [](const leasepool::Result<std::size_t>&) { FAIL("the loop has gone"); });
    loop.dispatch();
  }
  CHECK(pair->right.fd() == -1);
  CHECK(::fcntl(fd, F_GETFD) == -1);
  CHECK_THROWS_AS(pair->right.read(buffer), leasepool::LeasePoolError);
}

TEST_CASE("a file is a stream, too, and ends where it may not grow", "[stream]") {
  using namespace stream_cases;
  const leasepool::test::TemporaryDirectory directory;
  Loop loop;
  Stream file(loop, Fd(::open((directory / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)));
  run(loop, [&]() -> Task<> {
    co_await file.write(std::string_view("text"));
    REQUIRE(::lseek(file.fd(), 0, SEEK_SET) == 0);
    const std::string text = co_await read_to_end(file);
    CHECK(text == "text");
    CHECK_THROWS_AS(file.shutdown_write(), std::system_error);
  });
}
