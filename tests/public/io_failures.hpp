// Brings about what I/O can fail with, for the test of docs/errors.md.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support.hpp"
#include "support/temporary_directory.hpp"
#include "want_of.hpp"

namespace io_failures {

inline std::pair<lp::Fd, lp::Fd> socket_ends() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  return {lp::Fd(ends[0]), lp::Fd(ends[1])};
}

// To read from, and to write to.
inline std::pair<lp::Fd, lp::Fd> pipe_ends() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
  return {lp::Fd(ends[0]), lp::Fd(ends[1])};
}

inline int closed_descriptor() {
  const int fd = pipe_ends().first.get();
  return fd;  // closed by now
}

inline std::string large_text() { return std::string(std::size_t{8} << 20, 'x'); }

inline constexpr lp::IoOptions kBrief{.timeout = 1ms};

}  // namespace io_failures

// `collect(awaitable)` awaits it and keeps what it fails with; `failures.of(call)` keeps what a call throws.
template <class Failures, class Collect>
lp::Task<> fail_streams(Failures& failures, lp::Loop& loop, Collect collect) {
  using namespace io_failures;
  std::array<std::byte, 8> buffer{};
  const std::string large = large_text();
  {
    auto [left_end, right_end] = socket_ends();
    lp::Stream left(loop, std::move(left_end));
    lp::Stream right(loop, std::move(right_end));
    co_await collect(left.read(buffer, kBrief));
    co_await collect(left.write(large, kBrief));
    right.read_async(buffer, [](const auto&) {});
    failures.of([&] { right.read_async(buffer, [](const auto&) {}); });
    left.write_async(large, [](const auto&) {});
    failures.of([&] { left.write_async(large, [](const auto&) {}); });
  }
  {
    auto [left_end, right_end] = socket_ends();
    lp::Stream left(loop, std::move(left_end));
    lp::Stream right(loop, std::move(right_end));
    {
      auto cancelled = left.write(large);
      auto pause = loop.sleep(1ms);
      auto first = lp::when_any(std::move(cancelled), std::move(pause));
      co_await first;
    }
    co_await collect(left.write(std::string_view("x")));
    std::array<std::byte, 8> other{};
    std::size_t before = failures.answers();
    left.read_async(other, failures.taker());
    right.write_async(large, failures.taker());
    left.close();
    right.close();
    co_await until(loop, [&] { return failures.answers() == before + 2; });
    failures.of([&] { left.read_async(buffer, [](const auto&) {}); });
    const lp::Stream moved = std::move(right);
    failures.of([&] { (void)right.write(std::string_view("x")); });  // NOLINT(bugprone-use-after-move)
    failures.of([&] { (void)left.peer_address(); });
    failures.of([&] { (void)left.local_address(); });
  }
  {
    auto [left_end, right_end] = socket_ends();
    lp::Stream left(loop, std::move(left_end));
    lp::Stream right(loop, std::move(right_end));
    auto says = left.write(std::string_view("12345678"));
    co_await says;
    co_await collect(right.read_until(buffer, "\n"));
    std::array<std::byte, 20> larger{};
    left.shutdown_write();
    co_await collect(right.read_until(larger, "\n"));
    co_await collect(right.read_exactly(larger));
    co_await collect(left.write(std::string_view("x")));
  }
  auto [read_end, write_end] = pipe_ends();
  lp::Stream pipe(loop, std::move(read_end));
  failures.of([&] { pipe.shutdown_write(); });
  lp::Stream wrong_way(loop, std::move(write_end));
  co_await collect(wrong_way.read(buffer));

  failures.of([&] { (void)pipe.read({}); });
  failures.of([&] { (void)pipe.read(buffer, {.timeout = -1ms}); });
  failures.of([&] { (void)pipe.read_until(buffer, ""); });
  failures.of([&] { pipe.read_async(buffer, nullptr); });
  failures.of([&] { const lp::Stream empty(loop, lp::Fd()); });
}

template <class Failures, class Collect>
lp::Task<> fail_connections(Failures& failures, lp::Loop& loop, Collect collect) {
  using namespace io_failures;
  const leasepool::test::TemporaryDirectory directory;
  lp::TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
  const int port = listener.port();
  failures.of([&] { const lp::TcpListener second(loop, {.host = "127.0.0.1", .port = port}); });
  {
    const WantOfDescriptors want(0);
    failures.of([&] { const lp::TcpListener none(loop, {.host = "127.0.0.1", .port = 0}); });
    failures.of([&] { const lp::SignalSet none(loop, {SIGUSR2}); });
  }
  co_await collect(listener.accept(kBrief));
  const std::size_t before = failures.answers();
  listener.accept_async(failures.taker());
  listener.close();
  co_await until(loop, [&] { return failures.answers() == before + 1; });
  co_await collect(lp::connect(loop, {.host = "127.0.0.1", .port = port}));  // refused

  {
    const std::string path = directory / "socket";
    const lp::UnixListener bound(loop, lp::UnixEndpoint{.path = path});
    failures.of([&] { const lp::UnixListener second(loop, lp::UnixEndpoint{.path = path}); });
  }
  // Its queue of connections is soon full, so that the next has to wait.
  const lp::Fd crowded(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::listen(crowded.get(), 0) != 0) std::abort();
  const int crowded_port = [&] {
    lp::TcpListener copy(loop, lp::Fd(::dup(crowded.get())));
    return copy.port();
  }();
  std::vector<lp::Stream> connections;
  while (!failures.has("connect to 127.0.0.1:" + std::to_string(crowded_port) + " took longer")) {
    try {
      auto connecting = lp::connect(loop, {.host = "127.0.0.1", .port = crowded_port}, {.timeout = 20ms});
      connections.push_back(co_await connecting);
    } catch (const lp::LeasePoolError& error) {
      failures.add(error);
    }
  }

  lp::TcpListener shut_down(loop, lp::Fd(::dup(crowded.get())));
  (void)::shutdown(crowded.get(), SHUT_RDWR);
  co_await collect(shut_down.accept());

  lp::Fd no_listener = socket_ends().first;
  failures.of([&] { const lp::TcpListener none(loop, std::move(no_listener)); });
  failures.of([&] { (void)lp::connect(loop, {.host = "127.0.0.1", .port = 0}); });
  failures.of([&] { (void)lp::connect(loop, {.host = "", .port = 1}); });
  failures.of([&] { (void)lp::connect(loop, {.host = "localhost", .port = 1}); });
  failures.of([&] { (void)lp::connect(loop, lp::UnixEndpoint{.path = ""}); });
  failures.of([&] { (void)lp::connect(loop, lp::UnixEndpoint{.path = std::string_view("a\0b", 3)}); });

  co_await collect(lp::readable(loop, closed_descriptor()));
  co_await collect(lp::writable(loop, closed_descriptor()));
  auto [read_end, write_end] = pipe_ends();
  co_await collect(lp::readable(loop, read_end.get(), kBrief));
  const int flags = ::fcntl(write_end.get(), F_GETFL);
  (void)::fcntl(write_end.get(), F_SETFL, flags | O_NONBLOCK);
  while (::write(write_end.get(), &port, sizeof port) > 0) {
  }
  co_await collect(lp::writable(loop, write_end.get(), kBrief));
  failures.of([&] { (void)lp::readable(loop, -1); });

  co_await with_manager(loop, options_for(ExecutorBackend::thread, 1, 1), [&](Manager& manager) -> lp::Task<> {
    auto acquiring = manager.acquire();
    const lp::ExecutorLease lease = co_await acquiring;
    co_await collect(lp::resolve(lease, "127.0.0.1", "no service has this name"));
  });
}

template <class Failures, class Collect>
lp::Task<> fail_files(Failures& failures, lp::Loop& loop, Collect collect) {
  using namespace io_failures;
  const leasepool::test::TemporaryDirectory directory;
  std::array<std::byte, 8> buffer{};
  const std::string path = directory / "file";
  const std::string fifo = directory / "fifo";
  if (::mkfifo(fifo.c_str(), 0600) != 0) std::abort();
  co_await collect(lp::File::open(loop, directory / "none", lp::FileMode::read));
  {
    const lp::Fd writer(::open(fifo.c_str(), O_RDWR | O_CLOEXEC));
    while (!failures.has("read_all of")) {  // opening it could take all of the time
      co_await collect(lp::File::read_all(loop, fifo, lp::File::kMaxWhole, {.timeout = 20ms}));
    }
  }
  {
    const WantOfDescriptors want(0);
    co_await collect(lp::File::temporary(loop));
  }
  auto making = lp::File::open(loop, path, lp::FileMode::create_new);
  lp::File file = co_await making;
  auto writing = file.write_at(0, std::string_view("12345678"));
  co_await writing;
  co_await collect(lp::File::read_all(loop, path, 4));

  auto [read_end, write_end] = pipe_ends();
  lp::File nothing_to_read(loop, std::move(read_end));
  co_await collect(nothing_to_read.read_at(0, buffer, kBrief));
  co_await collect(nothing_to_read.write_at(0, std::string_view("x")));
  co_await collect(nothing_to_read.sync());
  lp::File no_room(loop, std::move(write_end));
  const std::string large = large_text();
  co_await collect(no_room.write_at(0, large, kBrief));
  co_await collect(no_room.read_at(0, buffer));

  const std::size_t before = failures.answers();
  file.read_at_async(0, buffer, {}, failures.taker());
  file.write_at_async(0, std::as_bytes(std::span(path)), {}, failures.taker());
  file.sync_async({}, failures.taker());
  file.close();
  co_await until(loop, [&] { return failures.answers() == before + 3; });
  failures.of([&] { (void)file.size(); });

  auto opening = lp::File::open(loop, path, lp::FileMode::read_write);
  lp::File again = co_await opening;
  {
    auto task = [](lp::File& to_write, const std::string& text) -> lp::Task<> {
      auto never_awaited = to_write.write_at(0, text);
      co_await never_awaited;
    }(again, large);
    begin(task);
  }
  co_await collect(again.write_at(0, std::string_view("x")));

  failures.of([&] { (void)lp::File::open(loop, "", lp::FileMode::read); });
  failures.of([&] { (void)lp::File::open(loop, std::string_view("a\0b", 3), lp::FileMode::read); });
  failures.of([&] { (void)lp::File::open(loop, path, lp::FileMode::write, {.permissions = 010000}); });
  co_await collect(lp::File::open(loop, path, static_cast<lp::FileMode>(17)));
  failures.of([&] { (void)again.read_at(~std::uint64_t{0}, buffer); });
}

template <class Failures, class Collect>
lp::Task<> fail_signals(Failures& failures, lp::Loop& loop, Collect collect) {
  using namespace io_failures;
  const std::size_t before = failures.answers();
  {
    lp::SignalSet signals(loop, {SIGUSR2});
    co_await collect(signals.next(kBrief));
    signals.next_async(failures.taker());
  }
  co_await until(loop, [&] { return failures.answers() == before + 1; });
  failures.of([&] { const lp::SignalSet none(loop, {}); });
  for (const int signal : {SIGKILL, SIGSEGV, 1000}) {
    failures.of([&] { const lp::SignalSet none(loop, {signal}); });
  }
}

// On loops that are gone.
template <class Failures>
void fail_io_without_a_loop(Failures& failures) {
  auto loop = std::make_unique<lp::Loop>();
  lp::TaskGroup group(*loop);
  lp::Stream stream(*loop, io_failures::socket_ends().first);
  loop.reset();
  failures.of([&] { group.spawn([]() -> lp::Task<> { co_return; }()); });
  failures.of([&] { (void)stream.write(std::string_view("x")); });
}
