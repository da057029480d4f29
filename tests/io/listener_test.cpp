// Tests of the listeners and of connect(): who is served, and what is kept.
#include "leasepool/listener.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "io_support.hpp"
#include "support/child.hpp"
#include "support/temporary_directory.hpp"

namespace listener_cases {

using leasepool::connect;
using leasepool::Errc;
using leasepool::Fd;
using leasepool::Loop;
using leasepool::Result;
using leasepool::Stream;
using leasepool::Task;
using leasepool::TcpListener;
using leasepool::UnixListener;
using leasepool::test::Failure;
using leasepool::test::failure_of;
using leasepool::test::run;
using leasepool::test::text_of;
using namespace std::chrono_literals;

template <class A>
Task<Failure> stream_failure_of(A awaitable) {
  Failure failure;
  try {
    const Stream stream = co_await awaitable;
  } catch (const leasepool::LeasePoolError& error) {
    failure = {.code = error.code(), .what = error.what(), .transferred = error.transferred()};
  } catch (const leasepool::IoError& error) {
    failure = {.code = error.code(), .what = error.what(), .transferred = error.transferred()};
  }
  co_return failure;
}

Task<> echo(Stream peer) {
  std::array<std::byte, 64> buffer{};
  for (;;) {
    const std::size_t count = co_await peer.read(buffer);
    if (count == 0) co_return;
    co_await peer.write(std::span(buffer).first(count));
  }
}

}  // namespace listener_cases

TEST_CASE("a server of many connections answers each", "[listener]") {
  using namespace listener_cases;
  Loop loop;
  TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const int clients_at_once = limit.rlim_cur < 256 ? 20 : 100;  // two descriptors each
  leasepool::TaskGroup connections(loop);
  const auto serve = [&]() -> Task<> {
    for (int i = 0; i < clients_at_once; ++i) {
      Stream peer = co_await listener.accept();
      connections.spawn(echo(std::move(peer)));
    }
  };
  int answered = 0;
  const auto ask = [&](int number) -> Task<> {
    const int port = listener.port();
    auto connecting = connect(loop, {.host = "127.0.0.1", .port = port}, {.timeout = 20s});
    Stream stream = co_await connecting;
    const std::string text = "number " + std::to_string(number);
    co_await stream.write(text);
    std::vector<std::byte> answer(text.size());
    co_await stream.read_exactly(answer, {.timeout = 20s});
    if (text_of(answer) == text) ++answered;
  };
  run(loop, [&]() -> Task<> {
    leasepool::TaskGroup clients(loop);
    connections.spawn(serve());
    for (int i = 0; i < clients_at_once; ++i) clients.spawn(ask(i));
    auto clients_end = clients.join();
    co_await clients_end;
    auto connections_end = connections.join();
    co_await connections_end;
  });
  CHECK(answered == clients_at_once);
}

TEST_CASE("Unix sockets connect by path, and their file goes with the listener", "[listener]") {
  using namespace listener_cases;
  const leasepool::test::TemporaryDirectory directory;
  const std::string path = directory / "socket";
  Loop loop;
  run(loop, [&]() -> Task<> {
    UnixListener listener(loop, {.path = path});
    auto both = leasepool::when_all(connect(loop, leasepool::UnixEndpoint{.path = path}), listener.accept());
    auto [ours, theirs] = co_await both;
    CHECK(ours.peer_address().path == path);
    CHECK_THROWS_WITH(UnixListener(loop, {.path = path}), ContainsSubstring(path));
    listener.close();
    co_await ours.write(std::string_view("x"));
    std::array<std::byte, 4> buffer{};
    const std::size_t count = co_await theirs.read(buffer);
    CHECK(count == 1);
  });
  struct stat status{};
  CHECK(::stat(path.c_str(), &status) != 0);
}

TEST_CASE("a listener leaves the file of its successor", "[listener]") {
  using namespace listener_cases;
  const leasepool::test::TemporaryDirectory directory;
  const std::string path = directory / "socket";
  Loop loop;
  UnixListener first(loop, {.path = path});
  REQUIRE(::unlink(path.c_str()) == 0);
  const UnixListener second(loop, {.path = path});
  first.close();
  struct stat status{};
  CHECK(::stat(path.c_str(), &status) == 0);
}

TEST_CASE("who waits for connections is served in order, and each by one", "[listener]") {
  using namespace listener_cases;
  Loop loop;
  TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
  std::vector<int> order;
  std::vector<Stream> kept;
  for (int i = 0; i < 3; ++i) {
    listener.accept_async([&, i](Result<Stream> stream) {
      kept.push_back(std::move(stream).value());
      order.push_back(i);
      if (order.size() == 3) loop.stop();
    });
  }
  const leasepool::test::Watchdog watchdog("three accepts");
  for (int i = 0; i < 3; ++i) {
    leasepool::connect_async(loop, leasepool::Endpoint{.host = "127.0.0.1", .port = listener.port()}, {},
                             [&](Result<Stream> stream) { kept.push_back(std::move(stream).value()); });
  }
  loop.run();
  CHECK(order == std::vector{0, 1, 2});
}

TEST_CASE("a connection that a cancelled accept had taken goes to the next", "[listener][I3]") {
  using namespace listener_cases;
  Loop loop;
  TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
  run(loop, [&]() -> Task<> {
    for (int round = 0; round < 50; ++round) {
      auto connecting = connect(loop, {.host = "127.0.0.1", .port = listener.port()});
      Stream ours = co_await connecting;
      co_await ours.write(std::string_view("x"));
      {
        auto accepts = listener.accept();
        auto sleeps = loop.sleep(std::chrono::microseconds(round * 3));
        auto first = leasepool::when_any(std::move(sleeps), std::move(accepts));
        auto which = co_await first;
        if (which.index() == 1) continue;  // it came first
      }
      auto accepting = listener.accept({.timeout = 20s});
      Stream theirs = co_await accepting;
      std::array<std::byte, 4> buffer{};
      const std::size_t count = co_await theirs.read(buffer);
      CHECK(count == 1);
    }
  });
}

TEST_CASE("an accept ends at its timeout, and with its listener", "[listener][I2][I4]") {
  using namespace listener_cases;
  Loop loop;
  TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
  run(loop, [&]() -> Task<> {
    const auto begun = std::chrono::steady_clock::now();
    const Failure late = co_await stream_failure_of(listener.accept({.timeout = 20ms}));
    CHECK(late.code == Errc::timed_out);
    CHECK(std::chrono::steady_clock::now() - begun >= 20ms);
    const auto timer = loop.call_after(10ms, [&] { listener.close(); });
    const int fd = listener.fd();
    const Failure closed = co_await stream_failure_of(listener.accept());
    CHECK(closed.code == Errc::cancelled);
    co_await loop.sleep(1ms);
    CHECK(::fcntl(fd, F_GETFD) == -1);
    CHECK(listener.fd() == -1);
    CHECK_THROWS_AS(listener.accept(), leasepool::LeasePoolError);
  });
}

TEST_CASE("an accept without a descriptor left keeps waiting, sleeps, and goes on", "[listener][I6]") {
  using namespace listener_cases;
  const auto end = leasepool::test::run_in_child([] {
    Loop loop;
    TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
    run(loop, [&]() -> Task<> {
      Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const leasepool::detail::SocketAddress address("test",
                                                     leasepool::Endpoint{.host = "127.0.0.1", .port = listener.port()});
      if (::connect(client.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.size) != 0) ::_exit(1);
      std::vector<Fd> all;
      const rlimit few{.rlim_cur = 64, .rlim_max = 64};
      if (::setrlimit(RLIMIT_NOFILE, &few) != 0) ::_exit(2);
      for (;;) {
        Fd next(::fcntl(client.get(), F_DUPFD_CLOEXEC, 0));
        if (!next) break;
        all.push_back(std::move(next));
      }
      rusage before{};
      rusage after{};
      ::getrusage(RUSAGE_SELF, &before);
      const Failure late = co_await stream_failure_of(listener.accept({.timeout = 300ms}));
      ::getrusage(RUSAGE_SELF, &after);
      if (late.code != Errc::timed_out) ::_exit(3);
      const auto used = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1'000'000 + after.ru_utime.tv_usec -
                        before.ru_utime.tv_usec;
      if (used > 150'000) ::_exit(4);  // it does not spin
      const auto timer = loop.call_after(150ms, [&] { all.clear(); });
      auto accepting = listener.accept({.timeout = 20s});
      const Stream stream = co_await accepting;
      if (stream.fd() < 0) ::_exit(5);
    });
  });
  CAPTURE(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("what cannot be connected to is the errno, the verb and the address", "[connect][I5]") {
  using namespace listener_cases;
  Loop loop;
  int port = 0;
  {
    const TcpListener gone(loop, {.host = "127.0.0.1", .port = 0});
    port = gone.port();
  }
  run(loop, [&]() -> Task<> {
    co_await loop.sleep(1ms);
    const Failure refused = co_await stream_failure_of(connect(loop, {.host = "127.0.0.1", .port = port}));
    CHECK(refused.code == std::errc::connection_refused);
    CHECK(refused.what.find("connect to 127.0.0.1:" + std::to_string(port)) != std::string::npos);
    const Failure missing =
        co_await stream_failure_of(connect(loop, leasepool::UnixEndpoint{.path = "/nowhere/at/all"}));
    CHECK(missing.code == std::errc::no_such_file_or_directory);
  });
}

TEST_CASE("a connect ends at its timeout", "[connect][I2]") {
  using namespace listener_cases;
  // A queue that is full answers nobody.
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const leasepool::detail::SocketAddress any("test", leasepool::Endpoint{.host = "127.0.0.1", .port = 0}, true);
  REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(any.bytes), any.size) == 0);
  REQUIRE(::listen(socket.get(), 0) == 0);
  Loop loop;
  const TcpListener listener(loop, std::move(socket));
  run(loop, [&]() -> Task<> {
    std::vector<Stream> queued;
    Failure late;
    for (int i = 0; i < 10 && late.code != Errc::timed_out; ++i) {
      auto connecting = connect(loop, {.host = "127.0.0.1", .port = listener.port()}, {.timeout = 50ms});
      try {
        queued.push_back(co_await connecting);
      } catch (const leasepool::LeasePoolError& error) {
        late.code = error.code();
      }
    }
    CHECK(late.code == Errc::timed_out);
  });
}

TEST_CASE("addresses that are none are refused by name", "[connect]") {
  using namespace listener_cases;
  Loop loop;
  CHECK_THROWS_WITH(connect(loop, {.host = "localhost", .port = 80}),
                    ContainsSubstring("host = \"localhost\"") && ContainsSubstring("resolve()"));
  CHECK_THROWS_WITH(connect(loop, {.host = "127.0.0.1", .port = 0}), ContainsSubstring("port = 0"));
  CHECK_THROWS_WITH(connect(loop, {.host = "127.0.0.1", .port = 65536}), ContainsSubstring("port = 65536"));
  CHECK_THROWS_WITH(TcpListener(loop, {.host = "127.0.0.1", .port = -1}), ContainsSubstring("port = -1"));
  CHECK_THROWS_WITH(connect(loop, leasepool::UnixEndpoint{.path = ""}), ContainsSubstring("path"));
  CHECK_THROWS_WITH(connect(loop, leasepool::UnixEndpoint{.path = std::string(200, 'x')}), ContainsSubstring("path"));
  CHECK_THROWS_AS(TcpListener(loop, Fd(::dup(0))), std::invalid_argument);
}

TEST_CASE("names are looked up on a lease of threads", "[resolve]") {
  using namespace listener_cases;
  Loop loop;
  leasepool::ManagerOptions options;
  options.backend = leasepool::ExecutorBackend::thread;
  options.max_pools = 1;
  leasepool::LeasedExecutorManager manager(loop, options);
  run(loop, [&]() -> Task<> {
    co_await manager.start();
    auto acquiring = manager.acquire();
    const auto lease = co_await acquiring;
    auto resolving = leasepool::resolve(lease, "localhost", "80");
    const auto found = co_await resolving;
    REQUIRE_FALSE(found.empty());
    CHECK(found[0].port == 80);
    CHECK(leasepool::detail::SocketAddress("test", found[0].endpoint()).size > 0);
    std::string why;
    auto failing = leasepool::resolve(lease, "no such host.invalid", "80");
    try {
      (void)co_await failing;
    } catch (const std::system_error& error) {
      why = error.what();
    }
    CHECK(why.find("no such host.invalid") != std::string::npos);
  });
}
