// The steps, each of which ends in time whatever is refused.
#include "io_scenario.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "shared.hpp"

namespace faults {

namespace {

namespace lp = leasepool;
using namespace std::chrono_literals;

constexpr lp::IoOptions kInTime{.timeout = 2s};

void expect(bool holds, const char* what) {
  if (!holds) shared()->wrong.add(std::string_view(what)), shared()->wrong.add(" | ");
}

lp::Task<lp::Stream> accept_one(lp::detail::Listener& listener) {
  auto accepting = listener.accept(kInTime);
  co_return co_await accepting;
}

// What one end writes, the other gets, in lines and in parts.
lp::Task<> talk(lp::Stream& ours, lp::Stream& theirs) {
  const std::array<std::span<const std::byte>, 2> parts{std::as_bytes(std::span("a line\n", 7)),
                                                        std::as_bytes(std::span("and more", 8))};
  std::array<std::byte, 32> buffer{};
  co_await ours.write(parts, kInTime);
  auto line = theirs.read_until(buffer, "\n", kInTime);
  expect(co_await line == 7, "another line");
  co_await theirs.read_exactly(std::span(buffer).first(8), kInTime);
  expect(buffer[0] == std::byte{'a'} && buffer[7] == std::byte{'e'}, "other bytes");
  ours.shutdown_write();
  expect(co_await theirs.read(buffer, kInTime) == 0, "no end");
}

lp::Task<> by_tcp(lp::Loop& loop) {
  lp::TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
  auto connecting = lp::connect(loop, {.host = "127.0.0.1", .port = listener.port()}, kInTime);
  lp::Stream ours = co_await connecting;
  lp::Stream theirs = co_await accept_one(listener);
  co_await talk(ours, theirs);
}

lp::Task<> by_unix_socket(lp::Loop& loop) {
  const std::string path = "/tmp/leasepool-faults-" + std::to_string(::getpid());
  (void)::unlink(path.c_str());
  lp::UnixListener listener(loop, {.path = path});
  auto connecting = lp::connect(loop, lp::UnixEndpoint{.path = path}, kInTime);
  lp::Stream ours = co_await connecting;
  lp::Stream theirs = co_await accept_one(listener);
  co_await talk(ours, theirs);
}

lp::Task<> by_pipe(lp::Loop& loop) {
  int ends[2];
  {
    const ForOurselves unrefused;
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "the scenario's pipe");
  }
  lp::Fd read_end(ends[0]);
  lp::Fd write_end(ends[1]);
  lp::Stream reader(loop, std::move(read_end));
  lp::Stream writer(loop, std::move(write_end));
  co_await lp::writable(loop, writer.fd(), kInTime);
  co_await writer.write(std::string_view("abc"), kInTime);
  co_await lp::readable(loop, reader.fd(), kInTime);
  std::array<std::byte, 8> buffer{};
  expect(co_await reader.read(buffer, kInTime) == 3, "not what was piped");
}

lp::Task<> by_file(lp::Loop& loop) {
  lp::File file = co_await lp::File::temporary(loop, kInTime);
  co_await file.write_at(0, std::string_view("text"), kInTime);
  co_await file.sync(kInTime);
  expect(co_await file.size(kInTime) == 4, "another size");
  std::array<std::byte, 8> buffer{};
  expect(co_await file.read_at(1, buffer, kInTime) == 3, "not what was written");
  auto reading = lp::File::read_all(loop, "/proc/self/comm", 100, kInTime);
  expect(!(co_await reading).empty(), "an empty file");
}

lp::Task<> by_signal(lp::Loop& loop) {
  (void)::signal(SIGUSR1, SIG_IGN);  // should nobody take it
  lp::SignalSet signals(loop, {SIGUSR1});
  {
    const ForOurselves unrefused;
    (void)::raise(SIGUSR1);
  }
  auto next = signals.next(kInTime);
  expect(co_await next == SIGUSR1, "another signal");
}

lp::Task<> by_stats(lp::Loop& loop) {
  // The same for all runs, as each leaves it behind.
  const std::string directory = "/tmp/leasepool-faults-runtime-" + std::to_string(::geteuid());
  {
    const ForOurselves unrefused;
    (void)::mkdir(directory.c_str(), 0700);
  }
  ::setenv("XDG_RUNTIME_DIR", directory.c_str(), 1);
  const lp::Address address = loop.serve_stats();
  auto connecting = lp::connect(loop, lp::UnixEndpoint{.path = address.path}, kInTime);
  lp::Stream stream = co_await connecting;
  co_await stream.write(std::string_view("GET /stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n"), kInTime);
  std::array<std::byte, 64> buffer{};
  std::size_t size = 0;
  try {
    auto line = stream.read_until(buffer, "\r\n", kInTime);
    size = co_await line;
  } catch (const lp::LeasePoolError& error) {
    // A server that may not accept goes on trying, and nobody tells its client.
    if (error.code() != lp::Errc::timed_out) throw;
    co_return;
  }
  const std::string_view status(reinterpret_cast<const char*>(buffer.data()), size);
  // That it had no memory for it is an answer, too.
  expect(status == "HTTP/1.1 200 OK\r\n" || status == "HTTP/1.1 503 Service Unavailable\r\n", "another status");
}

lp::Task<> cancelled(lp::Loop& loop) {
  lp::TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
  auto first = lp::when_any(accept_one(listener), loop.sleep(1ms));
  expect((co_await first).index() == 1, "a connection of nobody");
}

}  // namespace

lp::Task<> use_io(lp::Loop& loop, Attempt attempt) {
  co_await attempt("tcp", by_tcp(loop));
  co_await attempt("unix socket", by_unix_socket(loop));
  co_await attempt("pipe", by_pipe(loop));
  co_await attempt("file", by_file(loop));
  co_await attempt("signal", by_signal(loop));
  co_await attempt("stats", by_stats(loop));
  co_await attempt("cancelled", cancelled(loop));
  co_await attempt("tcp again", by_tcp(loop));
}

}  // namespace faults
