// The verbs of I/O with callbacks, and what becomes of a stream, a file, a listener or a set of signals that another
// one is moved over.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "catch.hpp"
#include "io_support.hpp"
#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

namespace callback_cases {

using leasepool::Address;
using leasepool::Endpoint;
using leasepool::Errc;
using leasepool::Fd;
using leasepool::File;
using leasepool::FileMode;
using leasepool::Loop;
using leasepool::Result;
using leasepool::SignalSet;
using leasepool::Stream;
using leasepool::TcpListener;
using leasepool::UnixListener;
using leasepool::test::bytes_of;
using leasepool::test::StreamPair;
using leasepool::test::TemporaryDirectory;
using leasepool::test::text_of;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

// What one callback is given, which comes from the loop and not inside the call.
template <class T>
class Heard {
 public:
  explicit Heard(Loop& loop) : loop_(loop) {}
  auto callback() {
    return [this](Result<T> result) {
      CHECK_FALSE(result_.has_value());
      result_ = std::move(result);
      loop_.stop();
    };
  }
  Result<T> wait() {
    const Watchdog watchdog("a callback of I/O");
    CHECK_FALSE(result_.has_value());
    loop_.run();
    REQUIRE(result_.has_value());
    return std::move(*result_);
  }

 private:
  Loop& loop_;
  std::optional<Result<T>> result_;
};

template <class T, class Verb>
Result<T> heard(Loop& loop, Verb verb) {
  Heard<T> heard(loop);
  verb(heard.callback());
  return heard.wait();
}

}  // namespace callback_cases

TEST_CASE("callbacks hear of reads of streams as awaits do", "[stream][callbacks][I1]") {
  using namespace callback_cases;
  Loop loop;
  StreamPair pair(loop);
  REQUIRE(heard<void>(loop, [&](auto done) { pair.left.write_async("four\nlines", std::move(done)); }));
  std::array<std::byte, 16> buffer{};
  const auto line =
      heard<std::size_t>(loop, [&](auto done) { pair.right.read_until_async(buffer, "\n", std::move(done)); });
  REQUIRE(line);
  CHECK(text_of(std::span(buffer).first(*line)) == "four\n");
  const auto exactly = std::span(buffer).first(5);
  REQUIRE(heard<void>(loop, [&](auto done) { pair.right.read_exactly_async(exactly, std::move(done)); }));
  CHECK(text_of(exactly) == "lines");

  const auto late =
      heard<void>(loop, [&](auto done) { pair.right.read_exactly_async(exactly, {.timeout = 5ms}, std::move(done)); });
  REQUIRE_FALSE(late);
  CHECK(late.error().code() == Errc::timed_out);
  pair.left.close();
  const auto ended = heard<void>(loop, [&](auto done) { pair.right.read_exactly_async(exactly, std::move(done)); });
  REQUIRE_FALSE(ended);
  CHECK(ended.error().code() == Errc::end_of_stream);
  CHECK_THROWS_AS(pair.right.read_exactly_async(exactly, nullptr), std::invalid_argument);
}

TEST_CASE("callbacks hear of all that is done with files", "[file][callbacks][I1]") {
  using namespace callback_cases;
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  Loop loop;
  auto opened =
      heard<File>(loop, [&](auto done) { File::open_async(loop, path, FileMode::create_new, {}, std::move(done)); });
  REQUIRE(opened.has_value());
  REQUIRE(heard<void>(loop, [&](auto done) { opened->write_at_async(3, bytes_of("text"), {}, std::move(done)); }));
  REQUIRE(heard<void>(loop, [&](auto done) { opened->sync_async({}, std::move(done)); }));
  CHECK(heard<std::uint64_t>(loop, [&](auto done) { opened->size_async({}, std::move(done)); }).value() == 7);
  const std::string whole =
      heard<std::string>(loop, [&](auto done) { File::read_all_async(loop, path, 7, {}, std::move(done)); }).value();
  CHECK(whole == std::string(3, '\0') + "text");
  const auto too_large =
      heard<std::string>(loop, [&](auto done) { File::read_all_async(loop, path, 6, {}, std::move(done)); });
  REQUIRE_FALSE(too_large.has_value());
  CHECK(too_large.error().code() == Errc::payload_too_large);
  const auto missing = heard<std::string>(
      loop, [&](auto done) { File::read_all_async(loop, directory / "none", 6, {}, std::move(done)); });
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code() == std::errc::no_such_file_or_directory);

  opened->close();
  CHECK_THROWS_AS(opened->size_async({}, [](const Result<std::uint64_t>&) {}), leasepool::LeasePoolError);
}

TEST_CASE("a callback is handed a file without a name, to write and to read", "[file][callbacks]") {
  using namespace callback_cases;
  Loop loop;
  auto file = heard<File>(loop, [&](auto done) { File::temporary_async(loop, {}, std::move(done)); });
  REQUIRE(file.has_value());
  REQUIRE(heard<void>(loop, [&](auto done) { file->write_at_async(0, bytes_of("kept"), {}, std::move(done)); }));
  std::array<std::byte, 8> buffer{};
  const auto count = heard<std::size_t>(loop, [&](auto done) { file->read_at_async(0, buffer, {}, std::move(done)); });
  REQUIRE(count);
  CHECK(text_of(std::span(buffer).first(*count)) == "kept");
  CHECK_THROWS_AS(File::temporary_async(loop, {}, nullptr), std::invalid_argument);
}

TEST_CASE("callbacks hear that a descriptor is ready, or is not in time", "[ready][callbacks][I2]") {
  using namespace callback_cases;
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
  const Fd out(ends[0]);
  const Fd in(ends[1]);
  Loop loop;
  CHECK(heard<void>(loop, [&](auto done) { leasepool::writable_async(loop, in.get(), std::move(done)); }));
  const auto late = heard<void>(
      loop, [&](auto done) { leasepool::readable_async(loop, out.get(), {.timeout = 5ms}, std::move(done)); });
  REQUIRE_FALSE(late);
  CHECK(late.error().code() == Errc::timed_out);
  REQUIRE(::write(in.get(), "x", 1) == 1);
  CHECK(heard<void>(loop, [&](auto done) { leasepool::readable_async(loop, out.get(), std::move(done)); }));
  while (::write(in.get(), std::string(4096, 'x').data(), 4096) > 0) {
  }
  const auto full = heard<void>(
      loop, [&](auto done) { leasepool::writable_async(loop, in.get(), {.timeout = 5ms}, std::move(done)); });
  REQUIRE_FALSE(full);
  CHECK(full.error().code() == Errc::timed_out);
  CHECK_THROWS_AS(leasepool::readable_async(loop, out.get(), nullptr), std::invalid_argument);
}

TEST_CASE("a callback is handed a connection to a Unix socket that the program had bound itself",
          "[connect][callbacks]") {
  using namespace callback_cases;
  const TemporaryDirectory directory;
  const std::string path = directory / "socket";
  Loop loop;
  UnixListener first(loop, {.path = path});
  UnixListener listener(loop, Fd(::fcntl(first.fd(), F_DUPFD_CLOEXEC, 0)));
  auto connected = heard<Stream>(loop, [&](auto done) {
    leasepool::connect_async(loop, leasepool::UnixEndpoint{.path = path}, {}, std::move(done));
  });
  REQUIRE(connected.has_value());
  auto accepted = heard<Stream>(loop, [&](auto done) { listener.accept_async(std::move(done)); });
  REQUIRE(accepted.has_value());
  REQUIRE(heard<void>(loop, [&](auto done) { connected->write_async("hello", std::move(done)); }));
  std::array<std::byte, 5> buffer{};
  REQUIRE(heard<void>(loop, [&](auto done) { accepted->read_exactly_async(buffer, std::move(done)); }));
  CHECK(text_of(buffer) == "hello");
}

TEST_CASE("connections over IPv6 go both ways and say their addresses", "[connect][callbacks][I5]") {
  using namespace callback_cases;
  Loop loop;
  std::optional<TcpListener> listener;
  try {
    listener.emplace(loop, Endpoint{.host = "::1"});
  } catch (const leasepool::IoError& error) {
    return leasepool::test::skip(std::string("no IPv6: ") + error.what());
  }
  const Address address = listener->local_address();
  CHECK(address.host == "::1");
  REQUIRE(address.port != 0);
  auto connected =
      heard<Stream>(loop, [&](auto done) { leasepool::connect_async(loop, address.endpoint(), {}, std::move(done)); });
  REQUIRE(connected.has_value());
  CHECK(connected->peer_address().host == "::1");
  CHECK(connected->peer_address().port == address.port);
  auto accepted = heard<Stream>(loop, [&](auto done) { listener->accept_async(std::move(done)); });
  REQUIRE(accepted.has_value());
  CHECK(accepted->peer_address().port == connected->local_address().port);

  // Bound, and nobody listens.
  const Fd silent(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 bound{};
  bound.sin6_family = AF_INET6;
  bound.sin6_addr = in6addr_loopback;
  socklen_t size = sizeof bound;
  REQUIRE(::bind(silent.get(), reinterpret_cast<const sockaddr*>(&bound), size) == 0);
  REQUIRE(::getsockname(silent.get(), reinterpret_cast<sockaddr*>(&bound), &size) == 0);
  const std::uint16_t port = ntohs(bound.sin6_port);
  const auto refused = heard<Stream>(loop, [&](auto done) {
    leasepool::connect_async(loop, Endpoint{.host = "::1", .port = port}, {}, std::move(done));
  });
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == std::errc::connection_refused);
  CHECK_THAT(refused.error().message(), ContainsSubstring("[::1]:" + std::to_string(port)));
}

TEST_CASE("what another one is moved over is closed, and what it waited for cancelled",
          "[stream][file][callbacks][I4]") {
  using namespace callback_cases;
  const TemporaryDirectory directory;
  Loop loop;
  StreamPair pair(loop);
  StreamPair other(loop);
  std::array<std::byte, 1> byte{};
  std::array<std::byte, 1> peers_byte{};
  Heard<std::size_t> replaced(loop);
  pair.left.read_async(byte, replaced.callback());
  const int fd = other.left.fd();
  pair.left = std::move(other.left);
  const auto cancelled = replaced.wait();
  REQUIRE_FALSE(cancelled);
  CHECK(cancelled.error().code() == Errc::cancelled);
  CHECK(pair.left.fd() == fd);
  CHECK(heard<std::size_t>(loop, [&](auto done) { pair.right.read_async(peers_byte, std::move(done)); }).value() == 0);

  std::ofstream(directory / "one") << "1";
  std::ofstream(directory / "two") << "22";
  const auto open = [&](const char* name) {
    return heard<File>(
               loop, [&](auto done) { File::open_async(loop, directory / name, FileMode::read, {}, std::move(done)); })
        .value();
  };
  File file = open("one");
  const int before = file.fd();
  file = open("two");
  CHECK(heard<std::uint64_t>(loop, [&](auto done) { file.size_async({}, std::move(done)); }).value() == 2);
  CHECK(::fcntl(before, F_GETFD) == -1);

  UnixListener listener(loop, {.path = directory / "first"});
  Heard<Stream> waiting(loop);
  listener.accept_async(waiting.callback());
  listener = UnixListener(loop, {.path = directory / "second"});
  const auto accepted = waiting.wait();
  REQUIRE_FALSE(accepted.has_value());
  CHECK(accepted.error().code() == Errc::cancelled);

  SignalSet signals(loop, {SIGUSR1});
  Heard<int> signal(loop);
  signals.next_async(signal.callback());
  signals = SignalSet(loop, {SIGUSR2});
  const auto given = signal.wait();
  REQUIRE_FALSE(given);
  CHECK(given.error().code() == Errc::cancelled);
  REQUIRE(::raise(SIGUSR2) == 0);
  CHECK(heard<int>(loop, [&](auto done) { signals.next_async(std::move(done)); }).value() == SIGUSR2);
}
