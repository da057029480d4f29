// Tests of which engine a loop runs on, where io_uring is there and where it is refused, each in a process of its own.
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "base/check.hpp"
#include "catch.hpp"
#include "leasepool/error.hpp"
#include "leasepool/loop.hpp"
#include "support/child.hpp"
#include "support/refuse.hpp"

namespace engine_choice {

using leasepool::Errc;
using leasepool::LeasePoolError;
using leasepool::Loop;
using leasepool::LoopEngine;
using leasepool::Task;
using leasepool::detail::check;
using leasepool::test::ChildEnd;
using leasepool::test::refuse;
using leasepool::test::run_in_child;
using namespace std::chrono_literals;

// As Docker's default profile does, with the errno that a runtime gives.
inline void refuse_io_uring(int error) {
  for (const long call : {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register}) refuse(call, error);
}

inline void say(std::string_view text) { (void)!::write(STDERR_FILENO, text.data(), text.size()); }

// Timers, posts of other threads and tasks.
inline void use(Loop& loop) {
  int posted = 0;
  std::jthread poster([&] {
    for (int i = 0; i < 100; ++i) loop.post([&] { ++posted; });
  });
  loop.block_on([](Loop& home, int& count) -> Task<> {
    while (count < 100) {
      auto sleep = home.sleep(1ms);
      co_await sleep;
    }
  }(loop, posted));
}

inline std::size_t lines_with(const std::string& text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace engine_choice

TEST_CASE("a loop that is given no engine runs on io_uring", "[choice][I8]") {
  using namespace engine_choice;
  const auto end = run_in_child([] {
    ::unsetenv("LEASEPOOL_ENGINE");
    Loop loop;
    check(loop.engine() == LoopEngine::io_uring, "io_uring is the first choice");
    Loop same(leasepool::LoopOptions{.engine = LoopEngine::automatic});
    check(same.engine() == LoopEngine::io_uring, "and so it is for automatic");
  });
  CHECK(end.exited_with(0));
  CHECK(end.output.empty());
}

TEST_CASE("where io_uring is refused the loop runs on epoll, and one line says why", "[choice][I8]") {
  using namespace engine_choice;
  const int error = GENERATE(EPERM, ENOSYS, EACCES);
  const auto end = run_in_child([error] {
    ::unsetenv("LEASEPOOL_ENGINE");
    refuse_io_uring(error);
    for (int i = 0; i < 3; ++i) {
      Loop loop;
      check(loop.engine() == LoopEngine::epoll, "epoll is the second choice");
      use(loop);
    }
  });
  INFO(end.output);
  CHECK(end.exited_with(0));
  CHECK(lines_with(end.output, "the loop runs on epoll, as io_uring is") == 1);
  CHECK(lines_with(end.output, "\n") == 1);
  CHECK_THAT(end.output, ContainsSubstring(error == ENOSYS ? "io_uring_setup: Function not implemented"
                                                           : "allow io_uring_setup, io_uring_enter"));
}

TEST_CASE("a profile that allows only the set-up of io_uring counts as one that refuses it", "[choice][I8]") {
  using namespace engine_choice;
  const auto end = run_in_child([] {
    ::unsetenv("LEASEPOOL_ENGINE");
    refuse(SYS_io_uring_enter, EPERM);
    Loop loop;
    check(loop.engine() == LoopEngine::epoll, "epoll is the second choice");
    use(loop);
  });
  INFO(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("io_uring that was asked for is an error where it is refused", "[choice][I8]") {
  using namespace engine_choice;
  const bool by_environment = GENERATE(false, true);
  const auto end = run_in_child([by_environment] {
    by_environment ? ::setenv("LEASEPOOL_ENGINE", "io_uring", 1) : ::setenv("LEASEPOOL_ENGINE", "epoll", 1);
    refuse_io_uring(EPERM);
    try {
      const Loop loop({.engine = by_environment ? LoopEngine::automatic : LoopEngine::io_uring});
    } catch (const LeasePoolError& refused) {
      check(refused.code() == Errc::unsupported, "the code is unsupported");
      return say(refused.what());
    }
    check(false, "there is no loop");
  });
  CHECK(end.exited_with(0));
  CHECK_THAT(end.output, ContainsSubstring("io_uring is refused"));
  CHECK_THAT(end.output, !ContainsSubstring("epoll"));
}

TEST_CASE("want of memory or descriptors is no reason for epoll", "[choice][I8]") {
  using namespace engine_choice;
  const int error = GENERATE(ENOMEM, EMFILE);
  const auto end = run_in_child([error] {
    ::unsetenv("LEASEPOOL_ENGINE");
    refuse(SYS_io_uring_setup, error);
    try {
      const Loop loop;
    } catch (const LeasePoolError& refused) {
      return check(refused.code() == Errc::unsupported, "the code is unsupported");
    }
    check(false, "there is no loop");
  });
  CHECK(end.exited_with(0));
}

TEST_CASE("the environment chooses for loops that do not", "[choice][I8]") {
  using namespace engine_choice;
  const auto end = run_in_child([] {
    const auto engine_by = [](const char* value, LoopEngine asked) {
      ::setenv("LEASEPOOL_ENGINE", value, 1);
      const Loop loop({.engine = asked});
      return loop.engine();
    };
    check(engine_by("epoll", LoopEngine::automatic) == LoopEngine::epoll, "epoll");
    check(engine_by("io_uring", LoopEngine::automatic) == LoopEngine::io_uring, "io_uring");
    check(engine_by("automatic", LoopEngine::automatic) == LoopEngine::io_uring, "automatic");
    check(engine_by("", LoopEngine::automatic) == LoopEngine::io_uring, "empty is not set");
    check(engine_by("epoll", LoopEngine::io_uring) == LoopEngine::io_uring, "the program comes first");
    check(engine_by("io_uring", LoopEngine::epoll) == LoopEngine::epoll, "whatever it asks for");
    check(engine_by("nonsense", LoopEngine::epoll) == LoopEngine::epoll, "and the value is not looked at then");
    try {
      engine_by("uring", LoopEngine::automatic);
    } catch (const std::invalid_argument& error) {
      return say(error.what());
    }
    check(false, "an unknown value is an error");
  });
  CHECK(end.exited_with(0));
  CHECK(end.output ==
        "leasepool: the environment's LEASEPOOL_ENGINE is \"uring\", and may be automatic, io_uring or epoll");
}
