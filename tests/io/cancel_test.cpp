// Tests that a coroutine may be destroyed at any moment while it waits for I/O: nothing touches its buffers afterwards
// (which is seen under AddressSanitizer, as they go with it), nothing is lost, and nothing is left.
#include <leasepool/leasepool.hpp>

#include <fcntl.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "catch.hpp"
#include "io_support.hpp"
#include "support/process_state.hpp"
#include "support/temporary_directory.hpp"

namespace cancel_cases {

using leasepool::File;
using leasepool::FileMode;
using leasepool::Loop;
using leasepool::Stream;
using leasepool::Task;
using leasepool::test::bytes_of;
using leasepool::test::run;
using leasepool::test::StreamPair;
using leasepool::test::text_of;
using namespace std::chrono_literals;

// Reads into memory of its own, on the heap, so that a late write to it is found.
Task<std::string> read_some(Stream& stream, std::size_t size) {
  std::vector<std::byte> buffer(size);
  const std::size_t count = co_await stream.read(buffer);
  co_return text_of(std::span(buffer).first(count));
}

Task<std::string> read_line(Stream& stream) {
  std::vector<std::byte> buffer(64);
  auto reading = stream.read_until(buffer, "\n");
  const std::size_t count = co_await reading;
  co_return text_of(std::span(buffer).first(count));
}

Task<> read_file(File& file, std::size_t size) {
  std::vector<std::byte> buffer(size);
  co_await file.read_at(0, buffer);
}

Task<> write_copy(Stream& stream, std::size_t size) {
  const std::vector<std::byte> bytes(size, std::byte{'w'});
  co_await stream.write(bytes);
}

Task<> pause(Loop& loop, std::chrono::nanoseconds time) { co_await loop.sleep(time); }

}  // namespace cancel_cases

TEST_CASE("reads that are cancelled at random moments lose no byte and keep their order", "[cancel][I3]") {
  using namespace cancel_cases;
  const bool by_pipe = GENERATE(false, true);
  CAPTURE(by_pipe);
  Loop loop;
  leasepool::test::SocketPair sockets;
  if (by_pipe) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    sockets.theirs = leasepool::Fd(ends[0]);
    sockets.ours = leasepool::Fd(ends[1]);
  }
  StreamPair pair(loop, std::move(sockets));
  constexpr int kNumbers = 3000;
  std::string sent;
  std::string came;
  int cancelled = 0;
  run(loop, [&]() -> Task<> {
    const auto writes = [&]() -> Task<> {
      std::mt19937 random(1);
      for (int i = 0; i < kNumbers; ++i) {
        const std::string number = std::to_string(i) + (i % 7 == 0 ? "\n" : " ");
        sent += number;
        co_await pair.left.write(number);
        if (random() % 4 == 0) co_await loop.sleep(std::chrono::microseconds(random() % 50));
      }
      pair.left.close();
    };
    const auto reads = [&]() -> Task<> {
      std::mt19937 random(2);
      for (;;) {
        auto reading = read_some(pair.right, 1 + random() % 16);
        auto first = leasepool::when_any(std::move(reading), pause(loop, std::chrono::nanoseconds(random() % 40'000)));
        auto which = co_await first;
        if (which.index() == 1) {
          ++cancelled;
          continue;
        }
        if (std::get<0>(which).empty()) co_return;
        came += std::get<0>(which);
      }
    };
    auto both = leasepool::when_all(writes(), reads());
    co_await both;
  });
  CHECK(came == sent);
  CHECK(cancelled > 100);
}

TEST_CASE("everything that waits for I/O can be destroyed at any moment", "[cancel][I3]") {
  using namespace cancel_cases;
  const leasepool::test::TemporaryDirectory directory;
  const auto before = leasepool::test::open_descriptors();
  {
    Loop loop;
    std::mt19937 random(3);
    int cancelled = 0;
    run(loop, [&]() -> Task<> {
      auto opening = File::open(loop, directory / "file", FileMode::read_write);
      File file = co_await opening;
      co_await file.write_at(0, std::string(300'000, 'f'));
      leasepool::TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
      const int port = listener.port();
      const auto connect = [&]() -> Task<> {
        auto connecting = leasepool::connect(loop, {.host = "127.0.0.1", .port = port});
        const Stream stream = co_await connecting;
      };
      const auto accept = [&]() -> Task<> { const Stream stream = co_await listener.accept(); };
      const auto open = [&]() -> Task<> {
        auto again = File::open(loop, directory / "file", FileMode::read);
        const File other = co_await again;
      };
      const auto whole = [&]() -> Task<> {
        auto reading = File::read_all(loop, directory / "file");
        (void)co_await reading;
      };
      for (int round = 0; round < 3000; ++round) {
        StreamPair pair(loop);
        if (random() % 2 == 0) co_await pair.right.write(std::string_view("some\n"));
        std::vector<Task<>> tasks;
        const auto with_nothing = [](auto task) -> Task<> { (void)co_await std::move(task); };
        switch (random() % 9) {
          case 0: tasks.push_back(with_nothing(read_some(pair.left, 1 + random() % 100))); break;
          case 1: tasks.push_back(with_nothing(read_line(pair.left))); break;
          case 2: tasks.push_back(write_copy(pair.left, random() % 1'000'000)); break;
          case 3: tasks.push_back(read_file(file, 1 + random() % 300'000)); break;
          case 4: tasks.push_back(accept()); break;
          case 5: tasks.push_back(connect()); break;
          case 6: tasks.push_back(open()); break;
          case 7: tasks.push_back(whole()); break;
          default: tasks.push_back(accept()); tasks.push_back(connect());
        }
        tasks.push_back(pause(loop, std::chrono::nanoseconds(random() % 60'000)));
        const std::size_t last = tasks.size() - 1;
        auto first = leasepool::when_any(std::move(tasks));
        if (co_await first == last) ++cancelled;
      }
    });
    CHECK(cancelled > 300);
  }
  CHECK(leasepool::test::open_descriptors() == before);
}

TEST_CASE("when_any returns when the others' I/O is over, and a loop ends with all that waits", "[cancel][I9]") {
  using namespace cancel_cases;
  const auto before = leasepool::test::open_descriptors();
  {
    Loop loop;
    StreamPair pair(loop);
    run(loop, [&]() -> Task<> {
      auto reading = read_some(pair.left, 10);
      auto line = read_line(pair.right);
      auto first = leasepool::when_any(std::move(reading), std::move(line), pause(loop, 1ms));
      const auto which = co_await first;
      CHECK(which.index() == 2);
      co_await pair.right.write(std::string_view("x"));  // is read by nobody but the next
      const std::string next = co_await read_some(pair.left, 10);
      CHECK(next == "x");
    });
    loop.spawn([](Stream& stream) -> Task<> { (void)co_await read_some(stream, 10); }(pair.left));
    loop.spawn([](Stream& stream) -> Task<> { (void)co_await read_line(stream); }(pair.right));
    loop.dispatch();
  }
  CHECK(leasepool::test::open_descriptors() == before);
}
