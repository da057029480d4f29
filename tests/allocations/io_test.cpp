// Verbs of I/O that fail while one allocation does, each of them in turn: whoever waits hears all the same, and nothing
// leaves the loop.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

#include "catch.hpp"
#include "leasepool/leasepool.hpp"
#include "memory_gate.hpp"

namespace io_without_memory {

using namespace std::chrono_literals;
using leasepool::Fd;
using leasepool::Loop;
using leasepool::test::MemoryGate;

constexpr leasepool::IoOptions kBrief{.timeout = 1ms};

std::pair<Fd, Fd> pipe_ends() {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  return {Fd(ends[0]), Fd(ends[1])};
}

// `make(loop, read_end, write_end)` returns a function that begins a verb, and hands its callback on. The verb fails;
// from where it begins on, one allocation after the other is refused. It then throws from the call, or its callback
// hears.
template <class Make>
void fail_each(Make make) {
  bool refused = true;
  for (std::size_t failing = 1; refused; ++failing) {
    INFO("where allocation " << failing << " fails");
    Loop loop;
    auto [read_end, write_end] = pipe_ends();
    auto begin = make(loop, std::move(read_end), std::move(write_end));
    bool begun = false;
    bool failed = false;
    bool left_the_loop = false;
    {
      const MemoryGate gate(failing, MemoryGate::Fails::once);
      try {
        begin([&](const auto& result) {
          failed = !result;
          loop.stop();
        });
        begun = true;
        loop.run();
      } catch (const std::bad_alloc&) {
        left_the_loop = begun;
      }
      refused = gate.refused();
    }
    CHECK(failed == begun);
    CHECK_FALSE(left_the_loop);
  }
}

TEST_CASE("each allocation fails once: verbs of I/O that fail are heard of all the same") {
  std::array<std::byte, 8> buffer{};
  SECTION("reading a stream that cannot be read") {
    fail_each([&](Loop& loop, Fd, Fd write_end) {
      return [&, stream = leasepool::Stream(loop, std::move(write_end))](auto done) mutable {
        stream.read_async(buffer, std::move(done));
      };
    });
  }
  SECTION("reading a stream for too long") {
    fail_each([&](Loop& loop, Fd read_end, Fd write_end) {
      return [&, other = std::move(write_end), stream = leasepool::Stream(loop, std::move(read_end))](
                 auto done) mutable { stream.read_async(buffer, kBrief, std::move(done)); };
    });
  }
  SECTION("writing to a stream without a reader") {
    fail_each([&](Loop& loop, Fd, Fd write_end) {
      return [stream = leasepool::Stream(loop, std::move(write_end))](auto done) mutable {
        stream.write_async("text", std::move(done));
      };
    });
  }
  SECTION("reading a file that cannot be read") {
    fail_each([&](Loop& loop, Fd, Fd write_end) {
      return [&, file = leasepool::File(loop, std::move(write_end))](auto done) mutable {
        file.read_at_async(0, buffer, {}, std::move(done));
      };
    });
  }
  SECTION("closing a file that is read") {
    fail_each([&](Loop& loop, Fd read_end, Fd write_end) {
      return [&, other = std::move(write_end), file = leasepool::File(loop, std::move(read_end))](auto done) mutable {
        file.read_at_async(0, buffer, {}, std::move(done));
        file.close();
      };
    });
  }
  SECTION("opening a file that is not there") {
    fail_each([](Loop& loop, Fd, Fd) {
      return [&loop](auto done) {
        leasepool::File::open_async(loop, "/nonexistent", leasepool::FileMode::read, {}, std::move(done));
      };
    });
  }
  SECTION("connecting to where nobody listens") {
    fail_each([](Loop& loop, Fd, Fd) {
      return [&loop](auto done) {
        leasepool::connect_async(loop, leasepool::UnixEndpoint{.path = "/nonexistent"}, {}, std::move(done));
      };
    });
  }
  SECTION("accepting on a socket that does not listen any more") {
    fail_each([](Loop& loop, Fd, Fd) {
      leasepool::TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
      ::shutdown(listener.fd(), SHUT_RDWR);
      return [to_accept = std::move(listener)](auto done) mutable { to_accept.accept_async(std::move(done)); };
    });
  }
  SECTION("accepting, and nobody connects") {
    fail_each([](Loop& loop, Fd, Fd) {
      return [listener = leasepool::TcpListener(loop, {.host = "127.0.0.1", .port = 0})](auto done) mutable {
        listener.accept_async(kBrief, std::move(done));
      };
    });
  }
  SECTION("waiting for what does not come") {
    fail_each([](Loop& loop, Fd read_end, Fd write_end) {
      return [&loop, other = std::move(write_end), fd = std::move(read_end)](auto done) {
        leasepool::readable_async(loop, fd.get(), kBrief, std::move(done));
      };
    });
  }
}

}  // namespace io_without_memory
